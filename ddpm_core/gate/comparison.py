"""Whether one model is worse than another, both measured under equal conditions.

Each difference has an interval. It is paired if both measurements use the same seeds and labels: what the two models
have in common then cancels.
"""

from ddpm_core.gate.config import GateConfig, limit_of
from ddpm_core.gate.rules import RuleResult, by_interval, number
from ddpm_core.metrics.intervals import Interval
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.metric import Metric


def compare(challenger: Measurement, champion: Measurement, gate: GateConfig) -> tuple[RuleResult, ...]:
    """Whether the challenger is worse than the champion by more than the loss that the gate allows.

    It passes a rule if the whole interval of its loss is within the limit, and fails if none of it is.
    """
    held = {metric.name: metric for metric in (*challenger.listed, *champion.listed) if metric.champion}
    none = {metric.name for metric in champion.listed if metric.not_applicable}
    rules = ((metric, limit_of(gate, metric.champion)) for name, metric in held.items() if name not in none)
    return tuple(_rule(metric, challenger, champion, limit) for metric, limit in rules if limit is not None)


def _rule(metric: Metric, challenger: Measurement, champion: Measurement, allowed: float) -> RuleResult:
    rule, name = f"champion: {metric.title}", metric.name
    for who, of in (("challenger", challenger), ("champion", champion)):
        if name not in of.metrics or of.replicates(name) is None:
            text = f"the {who} has no {name}, or its record has no replicates of it"
            return RuleResult(rule, "not measured", None, allowed, text)
    sign = -1.0 if metric.better == "higher" else 1.0
    ends = challenger.difference(name, champion)
    loss = Interval(*sorted((sign * ends.low, sign * ends.high)))
    mine, its = challenger.metrics[name], champion.metrics[name]
    text = (
        f"{number(mine)}, the champion {number(its)}; worse by {number(loss.low)} to {number(loss.high)}, allowed "
        f"{number(allowed)}"
    )
    outcome = by_interval(loss.low <= allowed, loss.high <= allowed)
    return RuleResult(rule, outcome, sign * (mine - its), allowed, text)
