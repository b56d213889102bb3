"""A search for how a bundle samples best within so many network evaluations: coordinate descent on a score.

One choice at a time is varied (the weight of guidance, its interval, the sampler, its levels), all else is
kept, and the best of the candidates is taken; the search ends when no choice can be bettered, or the time is over.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import get_args

from ddpm_core.diffusion.guidance import calls
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.spacing import Spacing, fault_of_levels
from ddpm_core.diffusion.variance import Variance
from ddpm_core.errors import ParamsError
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.config import GuidanceConfig, named

KINDS = ("unipc_2", "dpmpp_2m", "dpmpp_3m", "ddim", "ancestral")
_WEIGHTS = (-0.2, -0.1, 0.1, 0.2)
_ENDS = (-0.1, -0.05, 0.05, 0.1)
_MOVES = (-0.4, -0.2, 0.2, 0.4)  # of the way to the neighbouring level


@dataclass(frozen=True)
class SamplingChoice:
    """A way to sample."""

    sampler: SamplerConfig
    guidance: GuidanceConfig


@dataclass(frozen=True)
class Model:
    """What of a bundle the costs depend on; `guides`: it may be guided."""

    schedule: Schedule
    variance: Variance
    guides: bool

    def cost(self, choice: SamplingChoice) -> int:
        """Network evaluations of a datum."""
        plan = choice.sampler.plan(self.schedule, self.variance)
        interval = choice.guidance.time_interval(self.schedule)
        return int(calls(plan.time[plan.asks], choice.guidance.weight, interval).sum())

    def fitted(self, choice: SamplingChoice, evaluations: int) -> SamplingChoice | None:
        """The choice where it fits into the evaluations; else with as many trailing steps as fit, if any do."""
        if self.cost(choice) <= evaluations:
            return choice
        spacing = choice.sampler.spacing if isinstance(choice.sampler.spacing, str) else "trailing"
        for steps in range(min(evaluations, self.schedule.T), 0, -1):
            fewer = replace(choice, sampler=replace(choice.sampler, steps=steps, spacing=spacing))
            if self.cost(fewer) <= evaluations:
                return fewer
        return None


Score = Callable[[SamplingChoice], float]
"""Lower is better."""


def search(
    start: SamplingChoice, model: Model, evaluations: int, score: Score, seconds: float
) -> tuple[SamplingChoice, SamplingChoice]:
    """(where the search began: the start with the most steps that fit; the best choice found)."""
    begun = _most(start, model, evaluations)
    if begun is None:
        raise ParamsError(f"--evaluations: must allow at least one step of the sampler, got {evaluations}")
    until = monotonic() + seconds
    seen = {begun: score(begun)}
    best, varied_since = begun, 0
    coordinates = (_weights, _intervals, _samplers, _levels)  # guidance first: it changes most
    while varied_since < len(coordinates):
        for vary in coordinates:
            before = best
            for candidate in vary(before, model, evaluations):
                if monotonic() > until:
                    return begun, best
                if candidate not in seen:
                    seen[candidate] = score(candidate)
                if seen[candidate] < seen[best]:
                    best = candidate
            varied_since = 0 if best != before else varied_since + 1
            if varied_since >= len(coordinates):
                break
    return begun, best


def _most(start: SamplingChoice, model: Model, evaluations: int) -> SamplingChoice | None:
    """The start with as many steps as fit; its own levels where they do."""
    if not isinstance(start.sampler.spacing, str) and model.cost(start) <= evaluations:
        return start
    most = start.sampler.with_steps(min(evaluations, model.schedule.T))
    return model.fitted(replace(start, sampler=most), evaluations)


def _samplers(choice: SamplingChoice, model: Model, evaluations: int) -> Iterator[SamplingChoice]:
    for kind in KINDS:
        yield from _fitting(
            replace(choice, sampler=named(kind, choice.sampler.steps, choice.sampler)), model, evaluations
        )


def _levels(choice: SamplingChoice, model: Model, evaluations: int) -> Iterator[SamplingChoice]:
    """The rules, each with the most steps that fit; then each level moved towards its neighbours."""
    for spacing in get_args(Spacing):
        rule = replace(choice.sampler, spacing=spacing, steps=min(evaluations, model.schedule.T))
        yield from _fitting(replace(choice, sampler=rule), model, evaluations)
    levels = choice.sampler.levels(model.schedule)
    for place in range(1, len(levels) - 1):
        for share in _MOVES:
            other = levels[place - 1] if share > 0 else levels[place + 1]
            moved = list(levels)
            moved[place] += round(abs(share) * (other - levels[place]))
            if fault_of_levels(moved, choice.sampler.steps) is None:
                sampler = replace(choice.sampler, spacing=tuple(moved))
                yield from _fitting(replace(choice, sampler=sampler), model, evaluations)


def _weights(choice: SamplingChoice, model: Model, evaluations: int) -> Iterator[SamplingChoice]:
    for change in _WEIGHTS if model.guides else ():
        weight = round(max(0.0, choice.guidance.weight + change), 3)
        yield from _fitting(replace(choice, guidance=replace(choice.guidance, weight=weight)), model, evaluations)


def _intervals(choice: SamplingChoice, model: Model, evaluations: int) -> Iterator[SamplingChoice]:
    for end in (0, 1) if model.guides and choice.guidance.weight else ():
        for change in _ENDS:
            ends = list(choice.guidance.interval or (0.0, 1.0))
            ends[end] = round(min(1.0, max(0.0, ends[end] + change)), 3)
            if ends[0] < ends[1]:
                guidance = replace(choice.guidance, interval=(ends[0], ends[1]))
                yield from _fitting(replace(choice, guidance=guidance), model, evaluations)


def _fitting(choice: SamplingChoice, model: Model, evaluations: int) -> Iterator[SamplingChoice]:
    fitted = model.fitted(choice, evaluations)
    if fitted is not None:
        yield fitted
