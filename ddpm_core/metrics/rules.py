"""The rules of the gate, one function each: from metrics and limits to pass, fail, not enough evidence or not measured.

A rule with an interval passes where the whole interval keeps the limit and fails where none of it does. Between the
two it is `not enough evidence`, and says how many images would be enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, hypot, log10
from typing import Any, Literal

from ddpm_core.metrics.gate_config import GateConfig, Limit
from ddpm_core.metrics.intervals import wilson
from ddpm_core.metrics.memorisation import chance

Outcome = Literal["pass", "fail", "not enough evidence", "not measured", "not applicable"]
# What blocks more comes first: the verdict as a whole takes the first of these that any rule has.
BLOCKING: tuple[Outcome, ...] = ("fail", "not measured", "not enough evidence")

Metrics = Mapping[str, float]

_BEST_TOLD = 0.002  # an e below this is called by no smaller number


@dataclass(frozen=True)
class RuleResult:
    """What one rule said: `value` was measured, `limit` is what it was held against, `text` says it in words."""

    rule: str
    outcome: Outcome
    value: float | None
    limit: float | None
    text: str


def overall(rules: Sequence[RuleResult]) -> Outcome:
    """What blocks most, or pass."""
    outcomes = {rule.outcome for rule in rules}
    return next((blocking for blocking in BLOCKING if blocking in outcomes), "pass")


def rules_table(rules: Sequence[RuleResult]) -> str:
    """Rules as lines of text for a terminal."""
    head = ("rule", "measured", "limit", "outcome", "")
    rows = [head, *((r.rule, number(r.value), number(r.limit), r.outcome, r.text) for r in rules)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows)


def number(value: float | None) -> str:
    """A number as people read it, `-` for none; nothing has no sign."""
    return "-" if value is None else f"{value + 0.0:.4g}"


def missing(rule: str, metrics: Metrics, names: tuple[str, ...]) -> RuleResult | None:
    """The result of a rule whose numbers are not there."""
    absent = [name for name in names if name not in metrics]
    if not absent:
        return None
    return RuleResult(rule, "not measured", None, None, f"metrics.json has no {', '.join(absent)}")


# ---- how much the samples look like the data


def likeness_rules(metrics: Metrics, judges: Sequence[str], gate: GateConfig) -> list[RuleResult]:
    """Fidelity and diversity in each judge's features, and the roughness of the pixels."""
    rules = []
    for judge in judges:
        rules.append(_energy_rule(metrics, judge, gate))
        rules.append(_lost_rule(metrics, judge, gate))
    rules.append(_rough_rule(metrics, gate))
    rules += [_broken_rule(metrics, kind, gate) for kind in ("constant", "duplicate")]
    return rules


def _energy_rule(metrics: Metrics, judge: str, gate: GateConfig) -> RuleResult:
    def words(value: float, low: float, high: float) -> str:
        return f"e = {number(value)} ({number(low)} to {number(high)}): {worth(value)}"

    return _interval_rule(f"energy in {judge}", metrics, f"energy_{judge}", gate.max_energy, words)


def worth(value: float) -> str:
    """e in words: as good as 1/e real pictures, repeated for ever."""
    if value <= _BEST_TOLD:
        return f"as good as {1 / _BEST_TOLD:g} real pictures repeated, or better"
    return f"as good as {1 / value:.2g} real pictures repeated"


def _lost_rule(metrics: Metrics, judge: str, gate: GateConfig) -> RuleResult:
    def words(value: float, low: float, high: float) -> str:
        return (
            f"{value:.1%} ({low:.1%} to {high:.1%}) of unseen real images lie in regions that samples fill less than a "
            "quarter as often"
        )

    return _interval_rule(f"lost regions in {judge}", metrics, f"lost_{judge}", gate.max_lost, words)


def _rough_rule(metrics: Metrics, gate: GateConfig) -> RuleResult:
    rule = "roughness"
    if absent := missing(rule, metrics, ("rough_share_heldout",)):
        return absent

    def words(value: float, low: float, high: float) -> str:
        return (
            f"{value:.1%} ({low:.1%} to {high:.1%}) of the samples are rougher or smoother than 98 % of training "
            f"images; {metrics['rough_share_heldout']:.1%} of unseen real images are"
        )

    return _interval_rule(rule, metrics, "rough_share", gate.max_rough, words)


def _interval_rule(rule: str, metrics: Metrics, name: str, limit: float, words: Any) -> RuleResult:
    """At most `limit`, judged by the whole interval."""
    if absent := missing(rule, metrics, ("n", "n_heldout", name, f"{name}_low", f"{name}_high")):
        return absent
    value, low, high = (metrics[f"{name}{end}"] for end in ("", "_low", "_high"))
    outcome = by_interval(low <= limit, high <= limit)
    text = f"{words(value, low, high)}; allowed {number(limit)}"
    if outcome == "not enough evidence":
        text += f"; {enough(value, (high - low) / 2, limit, min(metrics['n'], metrics['n_heldout']))}"
    return RuleResult(rule, outcome, value, limit, text)


def by_interval(may_hold: bool, holds: bool) -> Outcome:
    """Pass where the whole interval keeps the limit, fail where none of it does."""
    return "pass" if holds else "not enough evidence" if may_hold else "fail"


def enough(value: float, reach: float, limit: float, n: float) -> str:
    """With how many images the interval would lie on one side of the limit: it narrows as 1 / sqrt(n)."""
    gap = abs(limit - value)
    if gap * 1000 < reach:
        return "the value lies on the limit: no number of images would be enough"
    wanted = n * (reach / gap) ** 2 * 1.1
    unit = 10 ** max(0, int(log10(wanted)) - 1)
    return f"about {ceil(wanted / unit) * unit:,.0f} samples and as many unseen images would be enough"


# ---- the other rules


def images_rule(metrics: Metrics, gate: GateConfig) -> RuleResult:
    rule = "images"
    if absent := missing(rule, metrics, ("n", "n_heldout")):
        return absent
    fewest = min(metrics["n"], metrics["n_heldout"])
    text = f"{metrics['n']:g} samples beside {metrics['n_heldout']:g} unseen real images"
    if fewest < gate.min_images:
        text += f"; gate.min_images asks for {gate.min_images} of each: raise evaluate.n or split.test_fraction"
        return RuleResult(rule, "not enough evidence", fewest, gate.min_images, text)
    return RuleResult(rule, "pass", fewest, gate.min_images, text)


def accuracy_rule(metrics: Metrics, conditions: Mapping[str, Any], gate: GateConfig) -> RuleResult:
    """By the interval of the loss against unseen images, both shares uncertain (Newcombe 1998, method 10).

    Fail where the interval shows a larger loss than is allowed. Where it shows neither that nor a smaller one, the
    rule passes while the loss that was measured is at most twice what is allowed.
    """
    rule = "asked label"
    if gate.max_accuracy_loss is None:
        return RuleResult(rule, "not applicable", None, None, "gate.max_accuracy_loss is null")
    if not conditions["conditional"] or conditions["classes"] < 2:
        return RuleResult(rule, "not applicable", None, None, "the model takes no label, or there is but one")
    if absent := missing(rule, metrics, ("n", "n_heldout", "accuracy_asked", "accuracy_heldout")):
        return absent
    asked, heldout, allowed = metrics["accuracy_asked"], metrics["accuracy_heldout"], gate.max_accuracy_loss
    low, high = _loss_of_share(asked, metrics["n"], heldout, metrics["n_heldout"], conditions)
    limit, chance = heldout - allowed, 1.0 / conditions["classes"]
    text = (
        f"{asked:.2%} of the samples are classified as the class asked for, {heldout:.2%} of unseen real images as "
        f"theirs: a loss of {heldout - asked:.2%} ({low:.2%} to {high:.2%}); allowed {allowed:.2%}"
    )
    if limit <= chance:
        text += f", which mere chance reaches ({chance:.2%}): the classifier is too weak to tell"
        return RuleResult(rule, "not enough evidence", asked, limit, text)
    outcome = by_interval(low <= allowed, high <= allowed)
    if outcome == "not enough evidence" and heldout - asked <= 2 * allowed:
        outcome, text = "pass", f"{text}; the interval shows no larger loss, and the loss is within twice the allowed"
    elif outcome == "not enough evidence":
        text += f"; {enough(heldout - asked, (high - low) / 2, allowed, min(metrics['n'], metrics['n_heldout']))}"
    return RuleResult(rule, outcome, asked, limit, text)


def _loss_of_share(mine: float, n: float, its: float, m: float, conditions: Mapping[str, Any]) -> tuple[float, float]:
    """The interval of `its` less `mine`, from Wilson's intervals of both."""
    confidence = float(conditions["settings"]["confidence"])
    own, other = (wilson(round(p * k), round(k), confidence) for p, k in ((mine, n), (its, m)))
    loss = its - mine
    return loss - hypot(its - other.low, own.high - mine), loss + hypot(other.high - its, mine - own.low)


def copies_rules(metrics: Metrics, gate: GateConfig) -> list[RuleResult]:
    """Copies of training images, counted in two ways."""
    return [
        _copies_rule("near copies", "near", "nearer to a training image than", metrics, gate),
        _copies_rule("lone copies", "lone", "with one training image far nearer than the next, as", metrics, gate),
    ]


def _copies_rule(rule: str, kind: str, words: str, metrics: Metrics, gate: GateConfig) -> RuleResult:
    share_name, heldout_name, chance_name = f"{kind}_share", f"{kind}_share_heldout", f"{kind}_chance"
    if absent := missing(rule, metrics, (share_name, heldout_name, chance_name)):
        return absent
    share, heldout, by_chance = metrics[share_name], metrics[heldout_name], metrics[chance_name]
    limit = heldout + gate.max_copy_excess
    text = f"{share:.2%} of the samples are {words} {heldout:.2%} of unseen real images are; allowed {limit:.2%}"
    return _share_rule(rule, share, limit, by_chance, text, gate)


def _share_rule(rule: str, share: float, limit: float, by_chance: float, text: str, gate: GateConfig) -> RuleResult:
    """A share of the samples above its limit fails, unless chance alone often gives as many."""
    if share <= limit:
        return RuleResult(rule, "pass", share, limit, text)
    if by_chance >= gate.copy_significance:
        return RuleResult(rule, "pass", share, limit, f"{text}, but so many come by chance in {by_chance:.0%} of draws")
    return RuleResult(rule, "fail", share, limit, text)


def _broken_rule(metrics: Metrics, kind: str, gate: GateConfig) -> RuleResult:
    rule = f"{kind} images"
    if absent := missing(rule, metrics, (f"{kind}_share", f"{kind}_share_heldout", "n", "n_heldout")):
        return absent
    share, heldout = metrics[f"{kind}_share"], metrics[f"{kind}_share_heldout"]
    limit = heldout + gate.max_broken_excess
    text = f"{share:.2%} of the samples, {heldout:.2%} of unseen real images; allowed {limit:.2%}"
    n, unseen = round(metrics["n"]), round(metrics["n_heldout"])
    by_chance = chance(round(share * n), n, round(heldout * unseen), unseen)
    return _share_rule(rule, share, limit, by_chance, text, gate)


def golden_rule(metrics: Metrics, provenance: Mapping[str, Any], gate: GateConfig) -> RuleResult:
    rule = "golden image"
    if provenance.get("golden") is False:
        return RuleResult(rule, "not applicable", None, None, "the bundle was made without one")
    if absent := missing(rule, metrics, ("golden_difference",)):
        return absent
    value, limit = metrics["golden_difference"], gate.max_golden_difference
    text = f"sampled again it differs by {number(value)} levels from the export's; allowed {number(limit)}"
    return RuleResult(rule, "pass" if value <= limit else "fail", value, limit, text)


def limit_rule(metrics: Metrics, limit: Limit) -> RuleResult:
    rule = f"absolute {limit.metric}"
    if absent := missing(rule, metrics, (limit.metric,)):
        return absent
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
