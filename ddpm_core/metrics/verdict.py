"""The gate: one pure function from what was measured to pass, fail, not enough evidence or not measured.

Stage report, stage gate and the promotion all call `verdict`, so they cannot disagree. Whether a rule applies is read
from the record of the measurement (were there labels? which extractors judged?), never guessed from a missing number:
a number that should be there and is not makes the rule `not measured`, and that blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ddpm_core.errors import DataError
from ddpm_core.metrics.gate_config import GateConfig
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.rules import (
    BLOCKING,
    Metrics,
    Outcome,
    RuleResult,
    accuracy_rule,
    by_interval,
    copies_rules,
    golden_rule,
    images_rule,
    likeness_rules,
    limit_rule,
    missing,
    number,
    overall,
    rules_table,
    worth,
)

_OUTCOMES: Mapping[Outcome, str] = {
    "fail": "they fail",
    "not measured": "nothing was measured of",
    "not enough evidence": "there is not enough evidence of",
}
_NOT_OF_THE_SAMPLES = ("images", "controls")  # rules about the measurement and not about what was measured


@dataclass(frozen=True)
class ControlResult:
    """Bad samples made from the real data, judged by the same rules: `blocked_by` names those that refuse them."""

    name: str
    words: str
    gross: bool
    metrics: Metrics
    outcome: Outcome
    blocked_by: tuple[str, ...]

    @property
    def blocked(self) -> bool:
        return self.outcome != "pass"


@dataclass(frozen=True)
class Verdict:
    """All rules and the one outcome they come to, about the bundle whose digest the record names."""

    outcome: Outcome
    bundle: str
    looks: Literal["yes", "partly", "no"]
    """Whether the samples look like the data, as a person would say it ..."""
    because: str
    """... and why."""
    rules: tuple[RuleResult, ...]
    controls: tuple[ControlResult, ...]
    tells: str
    """The smallest differences between two models that so many samples tell."""

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"

    @property
    def headline(self) -> str:
        return f"looks like the data: {self.looks}, because {self.because}"

    @property
    def blind(self) -> str:
        """What the gate cannot see on these data; empty where every control is refused."""
        unseen = [control.words for control in self.controls if not control.blocked]
        return f"on these data the gate cannot see {_listed(unseen)}" if unseen else ""

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


def verdict(metrics: Metrics, record: Mapping[str, Any], gate: GateConfig) -> Verdict:
    """Judge a model by its metrics, the record of how they were taken, and the rules."""
    conditions = _conditions(record)
    judges = tuple(conditions["judges"])
    controls = tuple(_control(name, listed, judges, gate) for name, listed in record.get("controls", {}).items())
    like = likeness_rules(metrics, judges, gate)
    if (kind := conditions.get("resampling")) != RESAMPLING:
        text = f"intervals must be of the kind {RESAMPLING!r}, got {kind!r}; run `ddpm evaluate` again"
        like = [RuleResult(rule.rule, "not measured", None, None, text) for rule in like]
    rules = [
        images_rule(metrics, gate),
        *like,
        accuracy_rule(metrics, conditions, gate),
        *copies_rules(metrics, gate),
        golden_rule(metrics, record["provenance"], gate),
        *(_ratio_rule(metrics, distance, controls, gate) for distance in conditions["distances"]),
        *(limit_rule(metrics, limit) for limit in gate.absolute),
        _controls_rule(controls, gate),
    ]
    looks, because = _in_words(rules, like, metrics, judges)
    return Verdict(
        outcome=overall(rules),
        bundle=str(record["provenance"]["bundle"]),
        looks=looks,
        because=because,
        rules=tuple(rules),
        controls=controls,
        tells=_tells(metrics, judges),
    )


def _conditions(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the record says of the measurement; a record that leaves open which rules apply is refused."""
    try:
        conditions: Mapping[str, Any] = record["conditions"]
        held = bool(record["provenance"]["bundle"]) and bool(conditions["distances"]) and bool(conditions["judges"])
        held = held and conditions["conditional"] in (True, False) and conditions["classes"] >= 0
        held = held and 0 < conditions["settings"]["confidence"] < 1
    except (KeyError, TypeError):
        held = False
    if not held:
        raise DataError(
            "record.json must say conditions.distances, .judges, .conditional, .classes and .settings.confidence and "
            "provenance.bundle, and at least one of them is missing or empty; run `ddpm evaluate` again"
        )
    return conditions


# ---- the controls


def _control(name: str, listed: Mapping[str, Any], judges: Sequence[str], gate: GateConfig) -> ControlResult:
    metrics: Metrics = listed["metrics"]
    rules = likeness_rules(metrics, judges, gate)
    if "near_share" in metrics:
        rules += copies_rules(metrics, gate)
    blocking = tuple(rule.rule for rule in rules if rule.outcome in BLOCKING)
    return ControlResult(name, str(listed["words"]), bool(listed["gross"]), metrics, overall(rules), blocking)


def _controls_rule(controls: Sequence[ControlResult], gate: GateConfig) -> RuleResult:
    """A gate that would pass gross faults proves nothing by passing the model."""
    rule = "controls"
    gross = [control for control in controls if control.gross]
    if not gross:
        return RuleResult(rule, "not measured", None, None, "record.json has no controls; run `ddpm evaluate` again")
    passed, limit = [control.words for control in gross if not control.blocked], gate.max_unseen_controls
    text = f"{len(gross) - len(passed)} of {len(gross)} gross faults made from these data are refused"
    if passed:
        text += f"; the gate would pass {_listed(passed)}: give more unseen images (split.test_fraction)"
    outcome: Outcome = "pass" if len(passed) <= limit else "not enough evidence"
    return RuleResult(rule, outcome, float(len(passed)), float(limit), text)


def _ratio_rule(metrics: Metrics, distance: str, controls: Sequence[ControlResult], gate: GateConfig) -> RuleResult:
    """Opt-in. A multiple of what real images score differs from data to data, so the controls must bear it out."""
    rule, name, limit = f"{distance} to test", f"{distance}_ratio_test", gate.max_distance_ratio
    if limit is None:
        return RuleResult(rule, "not applicable", None, None, "gate.max_distance_ratio is null")
    ends = (f"{name}_low", f"{name}_high")
    if absent := missing(rule, metrics, (name, *ends)):
        return absent
    below = [
        control.words for control in controls if control.gross and control.metrics.get(name, float("inf")) <= limit
    ]
    if below:
        text = f"{_listed(below)} would keep the limit of {number(limit)} x, so it says nothing on these data"
        return RuleResult(rule, "not applicable", metrics[name], limit, text)
    low, high = (metrics[end] for end in ends)
    text = (
        f"{number(metrics[name])} x ({number(low)} to {number(high)}) real images' at the same n; allowed {limit:g} x"
    )
    return RuleResult(rule, by_interval(low <= limit, high <= limit), metrics[name], limit, text)


# ---- in words


def _in_words(
    rules: Sequence[RuleResult], like: Sequence[RuleResult], metrics: Metrics, judges: Sequence[str]
) -> tuple[Literal["yes", "partly", "no"], str]:
    """What a person would say of the samples, from the rules about them."""
    blocking = [rule for rule in rules if rule.outcome in BLOCKING and rule.rule not in _NOT_OF_THE_SAMPLES]
    energies = [rule for rule in like if rule.rule.startswith("energy")]
    found = {judge: metrics[f"energy_{judge}"] for judge in judges if f"energy_{judge}" in metrics}
    because = "they were not measured"
    if found:
        judge = max(found, key=lambda name: found[name])
        because = f"in the features of {judge} the samples are {worth(found[judge])}"
    if not blocking:
        return "yes", f"{because}, and no rule finds a fault"
    because = "; ".join([because, *_by_outcome(blocking)])
    far = any(rule.outcome in ("fail", "not measured") for rule in energies)
    return ("no" if far else "partly"), because


def _by_outcome(rules: Sequence[RuleResult]) -> list[str]:
    named = {outcome: [rule.rule for rule in rules if rule.outcome == outcome] for outcome in _OUTCOMES}
    return [f"{_OUTCOMES[outcome]} {_listed(names)}" for outcome, names in named.items() if names]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def _tells(metrics: Metrics, judges: Sequence[str]) -> str:
    """What difference of two models is told in most draws, where it was measured."""
    found = {
        f"e in {judge}": number(metrics[f"energy_{judge}_detectable"])
        for judge in judges
        if f"energy_{judge}_detectable" in metrics
    }
    if "accuracy_asked_detectable" in metrics:
        found["asked label"] = f"{metrics['accuracy_asked_detectable']:.2%}"
    if not found:
        return ""
    told = ", ".join(f"{rule} by {value}" for rule, value in found.items())
    return f"{metrics.get('n', 0):g} samples tell two models apart in 8 of 10 draws where they differ in {told}"
