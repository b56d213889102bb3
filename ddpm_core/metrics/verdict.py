"""The gate: one pure function from what was measured to pass, fail, not enough evidence or not measured.

Stage report, stage gate and the promotion all call `verdict`, so they cannot disagree. Whether a rule applies is read
from the record of the measurement (were there labels? which distances were taken?), never guessed from a missing
number: a number that should be there and is not makes the rule `not measured`, and that blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1, fraction, not_negative, open_fraction, run_checks
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.metrics.intervals import RESAMPLING

Outcome = Literal["pass", "fail", "not enough evidence", "not measured", "not applicable"]
# What blocks more comes first: the verdict as a whole takes the first of these that any rule has.
_BLOCKING: tuple[Outcome, ...] = ("fail", "not measured", "not enough evidence")

Metrics = Mapping[str, float]
_SPLITS = ("train", "test")
_ACCURACY_ENDS = ("accuracy_asked_low", "accuracy_asked_high")


@dataclass(frozen=True)
class Limit:
    """An absolute limit on one metric, both ends allowed; null leaves an end open."""

    metric: str
    min: float | None
    max: float | None

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ParamsError(f"gate.absolute: the limit on {self.metric!r} must have a min or a max, got neither")


@dataclass(frozen=True)
class GateConfig:
    """The rules. Those named `max_...` are relative to what real, unseen images score; `absolute` is opt-in."""

    model_name: str | None
    min_images: int
    max_distance_ratio: float
    max_accuracy_loss: float | None
    max_copy_excess: float
    copy_significance: float
    max_broken_excess: float
    max_golden_difference: float
    max_champion_loss: float
    absolute: tuple[Limit, ...]

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}
    __checks__: ClassVar[Checks] = {
        "model_name": (
            lambda v: v is None or (bool(v) and not set(v) & set("/:") and v == v.strip()),
            "null (by the data) or a name without `/`, `:` or outer spaces",
        ),
        "min_images": at_least_1,
        "max_distance_ratio": (lambda v: v >= 1, "at least 1 (1 = as near as unseen real images)"),
        "max_accuracy_loss": (lambda v: v is None or 0 <= v <= 1, "null (no such rule) or between 0 and 1"),
        "max_copy_excess": fraction,
        "copy_significance": open_fraction,
        "max_broken_excess": fraction,
        "max_golden_difference": not_negative,
        "max_champion_loss": not_negative,
    }

    def __post_init__(self) -> None:
        run_checks(self)


@dataclass(frozen=True)
class RuleResult:
    """What one rule said: `value` was measured, `limit` is what it was held against, `text` says it in words."""

    rule: str
    outcome: Outcome
    value: float | None
    limit: float | None
    text: str


@dataclass(frozen=True)
class Verdict:
    """All rules and the one outcome they come to, about the bundle whose digest the record names."""

    outcome: Outcome
    bundle: str
    rules: tuple[RuleResult, ...]
    tells: str
    """The smallest differences between two models that so many samples tell."""

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """A line for each rule that blocks."""
        return tuple(f"{rule.rule}: {rule.outcome}: {rule.text}" for rule in self.rules if rule.outcome in _BLOCKING)

    def to_dict(self) -> dict[str, Any]:
        rules = [asdict(rule) for rule in self.rules]
        return {"outcome": self.outcome, "bundle": self.bundle, "rules": rules, "tells": self.tells}

    def table(self) -> str:
        """The rules as lines of text for a terminal."""
        lines = [rules_table(self.rules), *([self.tells] if self.tells else []), f"verdict: {self.outcome.upper()}"]
        return "\n".join(lines)


def rules_table(rules: Sequence[RuleResult]) -> str:
    """Rules as lines of text for a terminal."""
    head = ("rule", "measured", "limit", "outcome", "")
    rows = [head, *((r.rule, number(r.value), number(r.limit), r.outcome, r.text) for r in rules)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows)


def overall(rules: Sequence[RuleResult]) -> Outcome:
    """What blocks most, or pass."""
    outcomes = {rule.outcome for rule in rules}
    return next((blocking for blocking in _BLOCKING if blocking in outcomes), "pass")


def number(value: float | None) -> str:
    """A number as people read it, `-` for none; nothing has no sign."""
    return "-" if value is None else f"{value + 0.0:.4g}"


def verdict(metrics: Metrics, record: Mapping[str, Any], gate: GateConfig) -> Verdict:
    """Judge a model by its metrics, the record of how they were taken, and the rules."""
    conditions = _conditions(record)
    rules = [_images_rule(metrics, gate)]
    for distance in conditions["distances"]:
        rules += [_distance_rule(metrics, conditions, distance, split, gate) for split in _SPLITS]
    rules.append(_accuracy_rule(metrics, conditions, gate))
    rules.append(_copies_rule("near copies", "near", "nearer to a training image than", metrics, gate))
    rules.append(
        _copies_rule("lone copies", "lone", "with one training image far nearer than the next, as", metrics, gate)
    )
    rules += [_broken_rule(metrics, kind, gate) for kind in ("constant", "duplicate")]
    rules.append(_golden_rule(metrics, record["provenance"], gate))
    rules += [_limit_rule(metrics, limit) for limit in gate.absolute]
    bundle = str(record["provenance"]["bundle"])
    return Verdict(outcome=overall(rules), bundle=bundle, rules=tuple(rules), tells=_tells(metrics, conditions))


def _tells(metrics: Metrics, conditions: Mapping[str, Any]) -> str:
    """What difference of two models is told in most draws, where it was measured."""
    named = {f"{name} to {split}": f"{name}_ratio_{split}" for name in conditions["distances"] for split in _SPLITS}
    found = {
        rule: f"{number(metrics[f'{name}_detectable'])} x the floor"
        for rule, name in named.items()
        if f"{name}_detectable" in metrics
    }
    if "accuracy_asked_detectable" in metrics:
        found["asked label"] = f"{metrics['accuracy_asked_detectable']:.2%}"
    if not found:
        return ""
    told = ", ".join(f"{rule} by {value}" for rule, value in found.items())
    return f"{metrics.get('n', 0):g} samples tell two models apart in 8 of 10 draws where they differ in {told}"


def _conditions(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the record says of the measurement; a record that leaves open which rules apply is refused."""
    try:
        conditions: Mapping[str, Any] = record["conditions"]
        held = bool(record["provenance"]["bundle"]) and bool(conditions["distances"])
        held = held and conditions["conditional"] in (True, False) and conditions["classes"] >= 0
    except (KeyError, TypeError):
        held = False
    if not held:
        raise DataError(
            "record.json must say conditions.distances, .conditional and .classes and provenance.bundle, and at least "
            "one of them is missing or empty; run `ddpm evaluate` again"
        )
    return conditions


def _missing(rule: str, metrics: Metrics, names: tuple[str, ...]) -> RuleResult | None:
    absent = [name for name in names if name not in metrics]
    if not absent:
        return None
    return RuleResult(rule, "not measured", None, None, f"metrics.json has no {', '.join(absent)}")


def _images_rule(metrics: Metrics, gate: GateConfig) -> RuleResult:
    rule = "images"
    if missing := _missing(rule, metrics, ("n", "n_heldout")):
        return missing
    fewest = min(metrics["n"], metrics["n_heldout"])
    text = f"{metrics['n']:g} samples beside {metrics['n_heldout']:g} unseen real images"
    if fewest < gate.min_images:
        text += f"; gate.min_images asks for {gate.min_images} of each: raise evaluate.n or split.test_fraction"
        return RuleResult(rule, "not enough evidence", fewest, gate.min_images, text)
    return RuleResult(rule, "pass", fewest, gate.min_images, text)


def _distance_rule(
    metrics: Metrics, conditions: Mapping[str, Any], distance: str, split: str, gate: GateConfig
) -> RuleResult:
    rule = f"{distance} to {split}"
    if (kind := conditions.get("resampling")) != RESAMPLING:
        text = f"floors and intervals must be of the kind {RESAMPLING!r}, got {kind!r}; run `ddpm evaluate` again"
        return RuleResult(rule, "not measured", None, None, text)
    ratio_name, floor_name = f"{distance}_ratio_{split}", f"{distance}_floor_{split}"
    ends = (f"{ratio_name}_low", f"{ratio_name}_high")
    if missing := _missing(rule, metrics, (ratio_name, floor_name, *ends)):
        return missing
    ratio, limit = metrics[ratio_name], gate.max_distance_ratio
    low, high = (metrics[end] for end in ends)
    text = (
        f"{number(ratio)} x ({number(low)} to {number(high)}) the {number(metrics[floor_name])} of real images at the "
        f"same n; allowed {number(limit)} x"
    )
    return RuleResult(rule, _outcome(low <= limit, high <= limit), ratio, limit, text)


def _outcome(may_hold: bool, holds: bool) -> Outcome:
    """Pass where the whole interval keeps the limit, fail where none of it does."""
    return "pass" if holds else "not enough evidence" if may_hold else "fail"


def _accuracy_rule(metrics: Metrics, conditions: Mapping[str, Any], gate: GateConfig) -> RuleResult:
    rule = "asked label"
    if gate.max_accuracy_loss is None:
        return RuleResult(rule, "not applicable", None, None, "gate.max_accuracy_loss is null")
    if not conditions["conditional"] or conditions["classes"] < 2:
        return RuleResult(rule, "not applicable", None, None, "the model takes no label, or there is but one")
    if missing := _missing(rule, metrics, ("accuracy_asked", "accuracy_heldout", *_ACCURACY_ENDS)):
        return missing
    asked, heldout = metrics["accuracy_asked"], metrics["accuracy_heldout"]
    low, high = (metrics[end] for end in _ACCURACY_ENDS)
    limit, chance = heldout - gate.max_accuracy_loss, 1.0 / conditions["classes"]
    text = (
        f"{asked:.2%} ({low:.2%} to {high:.2%}) of the samples are called by the label asked for, {heldout:.2%} of "
        f"unseen real images by theirs; allowed {gate.max_accuracy_loss:.2%} less"
    )
    if limit <= chance:
        text += f", which mere chance reaches ({chance:.2%}): the classifier is too weak to tell"
        return RuleResult(rule, "not enough evidence", asked, limit, text)
    return RuleResult(rule, _outcome(high >= limit, low >= limit), asked, limit, text)


def _copies_rule(rule: str, kind: str, words: str, metrics: Metrics, gate: GateConfig) -> RuleResult:
    share_name, heldout_name, chance_name = f"{kind}_share", f"{kind}_share_heldout", f"{kind}_chance"
    if missing := _missing(rule, metrics, (share_name, heldout_name, chance_name)):
        return missing
    share, heldout, chance = metrics[share_name], metrics[heldout_name], metrics[chance_name]
    limit = heldout + gate.max_copy_excess
    text = f"{share:.2%} of the samples are {words} {heldout:.2%} of unseen real images are; allowed {limit:.2%}"
    if share <= limit:
        return RuleResult(rule, "pass", share, limit, text)
    if chance >= gate.copy_significance:
        return RuleResult(rule, "pass", share, limit, f"{text}, but so many come by chance in {chance:.0%} of draws")
    return RuleResult(rule, "fail", share, limit, text)


def _broken_rule(metrics: Metrics, kind: str, gate: GateConfig) -> RuleResult:
    rule = f"{kind} images"
    if missing := _missing(rule, metrics, (f"{kind}_share", f"{kind}_share_heldout")):
        return missing
    share, heldout = metrics[f"{kind}_share"], metrics[f"{kind}_share_heldout"]
    limit = heldout + gate.max_broken_excess
    text = f"{share:.2%} of the samples, {heldout:.2%} of unseen real images; allowed {limit:.2%}"
    return RuleResult(rule, "pass" if share <= limit else "fail", share, limit, text)


def _golden_rule(metrics: Metrics, provenance: Mapping[str, Any], gate: GateConfig) -> RuleResult:
    rule = "golden image"
    if provenance.get("golden") is False:
        return RuleResult(rule, "not applicable", None, None, "the bundle was made without one")
    if missing := _missing(rule, metrics, ("golden_difference",)):
        return missing
    value, limit = metrics["golden_difference"], gate.max_golden_difference
    text = f"sampled again it differs by {number(value)} levels from the export's; allowed {number(limit)}"
    return RuleResult(rule, "pass" if value <= limit else "fail", value, limit, text)


def _limit_rule(metrics: Metrics, limit: Limit) -> RuleResult:
    rule = f"absolute {limit.metric}"
    if missing := _missing(rule, metrics, (limit.metric,)):
        return missing
    value = metrics[limit.metric]
    if limit.min is not None and value < limit.min:
        return RuleResult(rule, "fail", value, limit.min, f"must be at least {number(limit.min)}")
    if limit.max is not None and value > limit.max:
        return RuleResult(rule, "fail", value, limit.max, f"must be at most {number(limit.max)}")
    ends = [f"at least {number(limit.min)}"] * (limit.min is not None) + [f"at most {number(limit.max)}"] * (
        limit.max is not None
    )
    shown = limit.max if limit.max is not None else limit.min
    return RuleResult(rule, "pass", value, shown, f"must be {' and '.join(ends)}")
