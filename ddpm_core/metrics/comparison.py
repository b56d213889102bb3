"""Whether one model is worse than another, both measured under equal conditions.

Each difference has an interval, paired where both weighted the same samples alike: sample i of both comes from the same
seed and label, so what both have in common falls out.
"""

from ddpm_core.metrics.gate_config import GateConfig
from ddpm_core.metrics.intervals import Interval
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.rules import RuleResult, by_interval, number


def compare(challenger: Measurement, champion: Measurement, gate: GateConfig) -> tuple[RuleResult, ...]:
    """Whether the challenger is worse than the champion by more than the loss that the gate allows.

    It passes a rule where the whole interval of its loss lies within what is allowed, and fails where none of it does.
    """
    rules = [
        _rule(f"energy in {judge}", f"energy_{judge}", challenger, champion, gate.max_champion_loss)
        for judge in challenger.conditions["judges"]
    ]
    if "accuracy_asked" in champion.metrics and gate.max_accuracy_loss is not None:
        rules.append(_rule("asked label", "accuracy_asked", challenger, champion, gate.max_accuracy_loss, -1.0))
    return tuple(rules)


def _rule(
    rule: str, name: str, challenger: Measurement, champion: Measurement, allowed: float, sign: float = 1.0
) -> RuleResult:
    """One number of both; `sign` is -1 where more of it is better."""
    rule = f"champion: {rule}"
    for who, of in (("challenger", challenger), ("champion", champion)):
        if name not in of.metrics or of.replicates(name) is None:
            text = f"of the {who} there is no {name}, or the record has no replicates of it"
            return RuleResult(rule, "not measured", None, allowed, text)
    ends = challenger.difference(name, champion)
    loss = Interval(*sorted((sign * ends.low, sign * ends.high)))
    mine, its = challenger.metrics[name], champion.metrics[name]
    text = (
        f"{number(mine)}, the champion {number(its)}; worse by {number(loss.low)} to {number(loss.high)}, allowed "
        f"{number(allowed)}"
    )
    outcome = by_interval(loss.low <= allowed, loss.high <= allowed)
    return RuleResult(rule, outcome, sign * (mine - its), allowed, text)
