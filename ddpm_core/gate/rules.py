"""The rules of the gate, one function per kind, which give pass, fail, not enough evidence or not measured.

A rule with an interval passes if the whole interval keeps the limit and fails if none of it does. Otherwise it is `not
enough evidence`, and says how many samples would be enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, hypot, inf, log10
from typing import Literal

from ddpm_core.errors import DataError
from ddpm_core.gate.config import GateConfig, Limit, limit_of
from ddpm_core.metrics.intervals import RESAMPLING, wilson
from ddpm_core.metrics.memorisation import chance
from ddpm_core.metrics.metric import Metric, Numbers, Rule

Outcome = Literal["pass", "fail", "not enough evidence", "not measured", "not applicable"]
# The worst outcome first: the verdict is the first of these that any rule has.
BLOCKING: tuple[Outcome, ...] = ("fail", "not measured", "not enough evidence")

_BEST_TOLD = 0.002  # a smaller e is shown as this one


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule: the measured `value`, the `limit` it is compared with, and `text`, both in words."""

    rule: str
    outcome: Outcome
    value: float | None
    limit: float | None
    text: str


def overall(rules: Sequence[RuleResult]) -> Outcome:
    """The worst outcome of any rule."""
    outcomes = {rule.outcome for rule in rules}
    return next((blocking for blocking in BLOCKING if blocking in outcomes), "pass")


def rules_table(rules: Sequence[RuleResult]) -> str:
    """Rules as lines of text for a terminal."""
    head = ("rule", "measured", "limit", "outcome", "")
    rows = [head, *((r.rule, number(r.value), number(r.limit), r.outcome, r.text) for r in rules)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows)


def number(value: float | None) -> str:
    """A number in four digits, `-` for None, and never a negative zero."""
    return "-" if value is None else f"{value + 0.0:.4g}"


def missing(rule: str, numbers: Numbers, names: Sequence[str]) -> RuleResult | None:
    """The result of a rule whose metrics are missing."""
    absent = [name for name in names if name not in numbers]
    if not absent:
        return None
    return RuleResult(rule, "not measured", None, None, f"metrics.json has no {', '.join(absent)}")


# ---- the rule of a metric


@dataclass(frozen=True)
class Evidence:
    """The input of the rules: the numbers, how they were measured, the limits, and the gross faults' scores."""

    numbers: Numbers
    gate: GateConfig
    confidence: float
    resampling: str | None
    faults: Mapping[str, Numbers]
    counted: str = "samples"
    """What `n` counts."""

    def result(self, metric: Metric) -> RuleResult | None:
        """The result of the metric's own rule; None without one."""
        rule = metric.rule
        if rule is None:
            return None
        limit = limit_of(self.gate, rule.limit)
        if limit is None:
            return RuleResult(rule.title, "not applicable", None, None, f"gate.{rule.limit} is null")
        if metric.not_applicable:
            return RuleResult(rule.title, "not applicable", None, None, metric.not_applicable)
        ends, floor, counts = metric.ends, (metric.floor,) * bool(metric.floor), _counts()
        judge, needs = {
            "interval": (self._interval, (*counts, metric.name, *ends, *floor)),
            "ratio": (self._ratio, (metric.name, *ends)),
            "excess": (self._excess, (metric.name, metric.floor, *((rule.chance,) if rule.chance else counts))),
            "loss": (self._loss, (*_counts(rule), metric.name, metric.floor)),
            "absolute": (self._absolute, (metric.name,)),
            "least": (self._least, (*counts, metric.name, *ends)),
            "inside": (self._inside, (*counts, metric.name, *ends)),
        }.get(rule.kind, (None, ()))
        if judge is None:
            raise DataError(
                f"record.json: the rule of {metric.name} must be of a kind that the gate has, got {rule.kind!r}"
            )
        if absent := missing(rule.title, self.numbers, needs):
            return absent
        if rule.kind in ("interval", "ratio", "least", "inside") and self.resampling != RESAMPLING:
            text = f"intervals must be of the kind {RESAMPLING!r}, got {self.resampling!r}; run `ddpm evaluate` again"
            return RuleResult(rule.title, "not measured", None, None, text)
        return judge(rule, metric, limit)

    def words(self, template: str, metric: Metric) -> str:
        """The words of a rule with the metric's numbers in them."""
        low, high = (self.numbers.get(end) for end in metric.ends)
        value = self.numbers[metric.name]
        shown = {"value": value, "low": low, "high": high, "floor": self.numbers.get(metric.floor)}
        filled = {name: None if number is None else number + 0.0 for name, number in shown.items()}
        return template.format(**filled, worth=worth(value))

    def _interval(self, rule: Rule, metric: Metric, limit: float) -> RuleResult:
        value, low, high = (self.numbers[name] for name in (metric.name, *metric.ends))
        outcome = by_interval(low <= limit, high <= limit)
        text = f"{self.words(rule.words, metric)}; allowed {number(limit)}"
        if outcome == "not enough evidence":
            text += f"; {enough(value, (high - low) / 2, limit, self._fewest, self.counted)}"
        return RuleResult(rule.title, outcome, value, limit, text)

    def _ratio(self, rule: Rule, metric: Metric, limit: float) -> RuleResult:
        """A multiple of the real data's score means little on some data, so the gross faults must exceed the limit."""
        value, low, high = (self.numbers[name] for name in (metric.name, *metric.ends))
        if below := [name for name, its in self.faults.items() if its.get(metric.name, inf) <= limit]:
            text = f"{listed(below)} would keep the limit of {number(limit)} x, so the rule means nothing here"
            return RuleResult(rule.title, "not applicable", value, limit, text)
        text = f"{self.words(rule.words, metric)}; allowed {limit:g} x"
        return RuleResult(rule.title, by_interval(low <= limit, high <= limit), value, limit, text)

    def _excess(self, rule: Rule, metric: Metric, allowed: float) -> RuleResult:
        """A fraction of the samples above the limit fails, unless chance alone often gives as many."""
        share, floor = self.numbers[metric.name], self.numbers[metric.floor]
        limit = floor + allowed
        text = f"{self.words(rule.words, metric)}; allowed {limit:.2%}"
        if share <= limit:
            return RuleResult(rule.title, "pass", share, limit, text)
        if rule.chance:
            by_chance = self.numbers[rule.chance]
        else:
            n, unseen = round(self.numbers["n"]), round(self.numbers["n_heldout"])
            by_chance = chance(round(share * n), n, round(floor * unseen), unseen)
        if by_chance >= (limit_of(self.gate, "copy_significance") or 0.0):
            text += f", but chance alone gives as many in {by_chance:.0%} of draws"
            return RuleResult(rule.title, "pass", share, limit, text)
        return RuleResult(rule.title, "fail", share, limit, text)

    def _loss(self, rule: Rule, metric: Metric, allowed: float) -> RuleResult:
        """By the interval of the loss, with both fractions uncertain (Newcombe 1998, method 10).

        Fails if the whole interval is above the allowed loss. If the interval contains the allowed loss, the rule
        passes while the measured loss is at most twice the allowed one.
        """
        share, floor = self.numbers[metric.name], self.numbers[metric.floor]
        loss, limit = floor - share, floor - allowed
        low, high = self._loss_of_share(share, floor, _counts(rule))
        text = (
            f"{self.words(rule.words, metric)}: a loss of {loss:.2%} ({low:.2%} to {high:.2%}); allowed {allowed:.2%}"
        )
        if limit <= rule.guessing:
            text += f", which guessing reaches ({rule.guessing:.2%}): the classifier is too weak to tell"
            return RuleResult(rule.title, "not enough evidence", share, limit, text)
        outcome = by_interval(low <= allowed, high <= allowed)
        if outcome == "not enough evidence" and loss <= 2 * allowed:
            outcome = "pass"
            text += "; the interval shows no larger loss, and the loss is within twice the allowed"
        elif outcome == "not enough evidence":
            text += f"; {enough(loss, (high - low) / 2, allowed, self._fewest, self.counted)}"
        return RuleResult(rule.title, outcome, share, limit, text)

    def _loss_of_share(self, mine: float, its: float, counts: Sequence[str]) -> tuple[float, float]:
        """The interval of `its` minus `mine`, from Wilson's intervals of both."""
        own, other = (
            wilson(round(p * self.numbers[n]), round(self.numbers[n]), self.confidence)
            for p, n in zip((mine, its), counts, strict=True)
        )
        loss = its - mine
        return loss - hypot(its - other.low, own.high - mine), loss + hypot(other.high - its, mine - own.low)

    def _absolute(self, rule: Rule, metric: Metric, limit: float) -> RuleResult:
        value = self.numbers[metric.name]
        text = f"{self.words(rule.words, metric)}; allowed {number(limit)}"
        return RuleResult(rule.title, "pass" if value <= limit else "fail", value, limit, text)

    def _least(self, rule: Rule, metric: Metric, limit: float) -> RuleResult:
        low, high = (self.numbers[name] for name in metric.ends)
        outcome = by_interval(high >= limit, low >= limit)
        return self._limited(rule, metric, outcome, limit, f"at least {_shown(limit, metric)}")

    def _inside(self, rule: Rule, metric: Metric, limit: float) -> RuleResult:
        """The result names the end of what is allowed that is nearer to the value."""
        low, high = (self.numbers[name] for name in metric.ends)
        least, most = rule.centre - limit, rule.centre + limit
        outcome = by_interval(low <= most and high >= least, low >= least and high <= most)
        nearer = most if self.numbers[metric.name] > rule.centre else least
        return self._limited(
            rule, metric, outcome, nearer, f"allowed {_shown(least, metric)} to {_shown(most, metric)}"
        )

    def _limited(self, rule: Rule, metric: Metric, outcome: Outcome, limit: float, asked: str) -> RuleResult:
        value, low, high = (self.numbers[name] for name in (metric.name, *metric.ends))
        text = f"{self.words(rule.words, metric)}; {asked}"
        if outcome == "not enough evidence":
            text += f"; {enough(value, (high - low) / 2, limit, self._fewest, self.counted)}"
        return RuleResult(rule.title, outcome, value, limit, text)

    @property
    def _fewest(self) -> float:
        return min(self.numbers["n"], self.numbers["n_heldout"])


def _counts(rule: Rule | None = None) -> tuple[str, str]:
    """The metrics that say how many samples and unseen examples a rule counts."""
    return ("n", "n_heldout") if rule is None or not rule.of else (f"asked_{rule.of}", f"known_{rule.of}")


def worth(value: float) -> str:
    """e in words: as good as 1/e real examples, repeated."""
    if value <= _BEST_TOLD:
        return f"as good as {1 / _BEST_TOLD:g} real examples repeated, or better"
    return f"as good as {1 / value:.2g} real examples repeated"


def listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def by_interval(may_hold: bool, holds: bool) -> Outcome:
    """Pass if the whole interval keeps the limit, fail if none of it does."""
    return "pass" if holds else "not enough evidence" if may_hold else "fail"


def _shown(limit: float, metric: Metric) -> str:
    return f"{limit:.0%}" if metric.share else number(limit)


def enough(value: float, reach: float, limit: float, n: float, counted: str) -> str:
    """The number of samples, or of what else is counted, with which the interval would be on one side of the limit.

    It narrows as 1 / sqrt(n).
    """
    gap = abs(limit - value)
    if gap * 1000 < reach:
        return f"the value lies on the limit: no number of {counted} would be enough"
    wanted = n * (reach / gap) ** 2 * 1.1
    unit = 10 ** max(0, int(log10(wanted)) - 1)
    return f"about {ceil(wanted / unit) * unit:,.0f} {counted} and as many unseen examples would be enough"


# ---- the rules without a metric of their own


def samples_rule(metrics: Numbers, gate: GateConfig, counted: str) -> RuleResult:
    rule = "samples"
    if absent := missing(rule, metrics, ("n", "n_heldout")):
        return absent
    fewest = min(metrics["n"], metrics["n_heldout"])
    text = f"{metrics['n']:g} {counted} and {metrics['n_heldout']:g} unseen examples"
    if fewest < gate.min_samples:
        text += f"; gate.min_samples asks for {gate.min_samples} of each: "
        text += (
            "raise evaluate.n"
            if counted == "samples" and metrics["n_heldout"] >= gate.min_samples
            else "give more data, or raise split.test_fraction"
        )
        return RuleResult(rule, "not enough evidence", fewest, gate.min_samples, text)
    return RuleResult(rule, "pass", fewest, gate.min_samples, text)


def limit_rule(metrics: Numbers, limit: Limit) -> RuleResult:
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
