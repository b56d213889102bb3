"""The gate: one pure function from a measurement to pass, fail, not enough evidence or not measured.

Stage report, stage gate and the promotion all call `verdict`, so they cannot disagree. The record of the measurement
says which rules there are: each metric names its rule, or why it has none. A missing number makes its rule `not
measured`, which blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ddpm_core.errors import DataError
from ddpm_core.gate.config import GateConfig
from ddpm_core.gate.rules import (
    BLOCKING,
    Evidence,
    Outcome,
    RuleResult,
    limit_rule,
    listed,
    number,
    overall,
    rules_table,
    samples_rule,
)
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.metric import Metric, Numbers

_OUTCOMES: Mapping[Outcome, str] = {
    "fail": "they fail",
    "not measured": "nothing was measured of",
    "not enough evidence": "there is not enough evidence of",
}
_ASKS = "looks like the data"
_NOT_OF_THE_SAMPLES = ("samples", "controls")  # rules about the measurement itself, not about the samples


@dataclass(frozen=True)
class ControlResult:
    """Bad samples made from real data, judged by the same rules; `blocked_by` names the rules that refuse them."""

    name: str
    words: str
    gross: bool
    metrics: Numbers
    outcome: Outcome
    blocked_by: tuple[str, ...]

    @property
    def blocked(self) -> bool:
        return self.outcome != "pass"


@dataclass(frozen=True)
class Verdict:
    """All rules and their overall outcome, for the bundle whose digest the record names."""

    outcome: Outcome
    bundle: str
    looks: Literal["yes", "partly", "no"]
    """Whether the samples look like the data (or what else is asked of them), in plain words ..."""
    because: str
    """... and why."""
    rules: tuple[RuleResult, ...]
    controls: tuple[ControlResult, ...]
    tells: str
    """The smallest differences between two models that this many samples can detect."""
    asks: str
    """What `looks` answers."""

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"

    @property
    def headline(self) -> str:
        return f"{self.asks}: {self.looks}, because {self.because}"

    @property
    def blind(self) -> str:
        """The faults that the gate cannot detect on these data; empty if every control is refused."""
        unseen = [control.words for control in self.controls if not control.blocked]
        return f"on these data the gate cannot see {listed(unseen)}" if unseen else ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """A line for each rule that blocks."""
        return tuple(f"{rule.rule}: {rule.outcome}: {rule.text}" for rule in self.rules if rule.outcome in BLOCKING)

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "bundle": self.bundle,
            "headline": self.headline,
            "rules": [asdict(rule) for rule in self.rules],
            "controls": [
                {"name": each.name, "gross": each.gross, "outcome": each.outcome, "blocked_by": list(each.blocked_by)}
                for each in self.controls
            ],
            "blind": self.blind,
            "tells": self.tells,
        }

    def table(self) -> str:
        """The rules as lines of text for a terminal."""
        notes = [text for text in (self.blind, self.tells) if text]
        return "\n".join([rules_table(self.rules), *notes, self.headline, f"verdict: {self.outcome.upper()}"])


def verdict(metrics: Numbers, record: Mapping[str, Any], gate: GateConfig) -> Verdict:
    """Judge a model by its metrics, the record of the measurement, and the limits."""
    measured = Measurement(metrics, record)
    bundle, confidence = _bundle_and_confidence(measured, gate)
    faults = record.get("controls", {})
    gross = {str(fault["words"]): fault["metrics"] for fault in faults.values() if fault["gross"]}
    counted = next((metric.meaning for metric in measured.listed if metric.name == "n"), "samples")
    evidence = Evidence(metrics, gate, confidence, measured.conditions.get("resampling"), gross, counted)
    controls = tuple(_control(name, fault, measured, evidence) for name, fault in faults.items())
    of = [(metric, result) for metric in measured.listed if (result := evidence.result(metric)) is not None]
    rules = [
        samples_rule(metrics, gate, counted),
        *(result for metric, result in of if metric.rule and metric.rule.kind != "ratio"),
        *(result for metric, result in of if metric.rule and metric.rule.kind == "ratio"),
        *(limit_rule(metrics, limit) for limit in gate.absolute),
        _controls_rule(controls, any(metric.rule and metric.rule.controls for metric in measured.listed), gate),
    ]
    looks, because = _in_words(rules, of, evidence)
    return Verdict(
        outcome=overall(rules),
        bundle=bundle,
        looks=looks,
        because=because,
        rules=tuple(rules),
        controls=controls,
        tells=_tells(measured, counted),
        asks=next((m.rule.asks for m in measured.listed if m.rule and m.rule.asks), _ASKS),
    )


def _bundle_and_confidence(measured: Measurement, gate: GateConfig) -> tuple[str, float]:
    """The bundle and the confidence of a measurement; refuses a record that does not say which rules apply."""
    try:
        bundle, confidence = measured.bundle, measured.confidence
        held = bool(measured.record["provenance"]["bundle"]) and 0 < confidence < 1
        held = held and (bool(gate.absolute) or any(metric.rule for metric in measured.listed))
    except (KeyError, TypeError, DataError):
        held = False
    if not held:
        raise DataError(
            "record.json must say conditions.settings.confidence, provenance.bundle and metrics of which some have a "
            "rule, and at least one of them is missing or empty; run `ddpm evaluate` again"
        )
    return bundle, confidence


# ---- the controls


def _control(name: str, fault: Mapping[str, Any], measured: Measurement, evidence: Evidence) -> ControlResult:
    """The controls (bad samples), judged by the rules that are tested on them."""
    numbers: Numbers = fault["metrics"]
    its = replace(evidence, numbers=numbers)
    tried = [metric for metric in measured.listed if metric.rule and metric.rule.controls and metric.name in numbers]
    rules = [result for metric in tried if (result := its.result(metric)) is not None]
    blocking = tuple(rule.rule for rule in rules if rule.outcome in BLOCKING)
    return ControlResult(name, str(fault["words"]), bool(fault["gross"]), numbers, overall(rules), blocking)


def _controls_rule(controls: Sequence[ControlResult], needed: bool, gate: GateConfig) -> RuleResult:
    """If the gate would pass gross faults, its pass proves nothing."""
    rule = "controls"
    gross = [control for control in controls if control.gross]
    if not needed:
        return RuleResult(rule, "not applicable", None, None, "no rule of this measurement is tested on bad samples")
    if not gross:
        return RuleResult(rule, "not measured", None, None, "record.json has no controls; run `ddpm evaluate` again")
    passed, limit = [control.words for control in gross if not control.blocked], gate.max_unseen_controls
    text = f"{len(gross) - len(passed)} of {len(gross)} gross faults made from these data are refused"
    if passed:
        text += f"; the gate would pass {listed(passed)}: give more unseen data (split.test_fraction)"
    outcome: Outcome = "pass" if len(passed) <= limit else "not enough evidence"
    return RuleResult(rule, outcome, float(len(passed)), float(limit), text)


# ---- in words


def _in_words(
    rules: Sequence[RuleResult], of: Sequence[tuple[Metric, RuleResult]], evidence: Evidence
) -> tuple[Literal["yes", "partly", "no"], str]:
    """A judgement of the samples in plain words, from the rules about them."""
    blocking = [rule for rule in rules if rule.outcome in BLOCKING and rule.rule not in _NOT_OF_THE_SAMPLES]
    first = [(metric, result) for metric, result in of if metric.rule and metric.rule.says]
    worst = max((metric for metric, _ in first if metric.value is not None), key=lambda m: m.value or 0, default=None)
    because = "they were not measured" if first else "they were measured"
    if worst is not None and worst.rule is not None:
        because = evidence.words(worst.rule.says, worst)
    if not blocking:
        return "yes", f"{because}, and no rule finds a fault"
    because = "; ".join([because, *_by_outcome(blocking)])
    far = any(result.outcome in ("fail", "not measured") for _, result in first or of)
    return ("no" if far else "partly"), because


def _by_outcome(rules: Sequence[RuleResult]) -> list[str]:
    named = {outcome: [rule.rule for rule in rules if rule.outcome == outcome] for outcome in _OUTCOMES}
    return [f"{_OUTCOMES[outcome]} {listed(names)}" for outcome, names in named.items() if names]


def _tells(measured: Measurement, counted: str) -> str:
    """The difference of two models that most draws detect, where it was measured."""
    numbers = measured.metrics
    told = ", ".join(
        f"{metric.short or metric.name} by {numbers[metric.detectable]:.2%}"
        if metric.share
        else f"{metric.short or metric.name} by {number(numbers[metric.detectable])}"
        for metric in measured.listed
        if metric.champion and metric.detectable in numbers
    )
    if not told:
        return ""
    return f"{numbers.get('n', 0):g} {counted} tell two models apart in 8 of 10 draws where they differ in {told}"
