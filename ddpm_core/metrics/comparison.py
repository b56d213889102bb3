"""Whether one model is worse than another, both measured under equal conditions.

Each difference has an interval, paired where both weighted the same samples alike: sample i of both comes from the same
seed and label, so what both have in common falls out.
"""

from ddpm_core.metrics.intervals import Interval
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.verdict import GateConfig, Outcome, RuleResult, number


def compare(challenger: Measurement, champion: Measurement, gate: GateConfig) -> tuple[RuleResult, ...]:
    """Whether the challenger is worse than the champion by more than the loss that the gate allows.

    It passes a rule where the whole interval of its loss lies within what is allowed, and fails where none of it does.
    A distance is counted in floors: what real images score at this n.
    """
    rules = [
        _rule(f"{distance} to {split}", f"{distance}_ratio_{split}", challenger, champion, gate.max_champion_loss)
        for distance in challenger.conditions["distances"]
        for split in ("train", "test")
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
    unit = " x the floor" if sign > 0 else ""
    text = (
        f"{number(mine)}{unit}, the champion {number(its)}{unit}; worse by {number(loss.low)} to {number(loss.high)}, "
        f"allowed {number(allowed)}"
    )
    return RuleResult(rule, _outcome(loss, allowed), sign * (mine - its), allowed, text)


def _outcome(loss: Interval, allowed: float) -> Outcome:
    if loss.high <= allowed:
        return "pass"
    return "not enough evidence" if loss.low <= allowed else "fail"
