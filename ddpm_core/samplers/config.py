"""How a bundle samples unless it is told otherwise, and samplers named on a command line."""

from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, ClassVar, get_args

from ddpm_core.checks import Checks, Config, fraction, not_negative
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.errors import ParamsError
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.base import spacing_for


@dataclass(frozen=True)
class GuidanceConfig(Config):
    """Classifier-free guidance: out_c + weight (out_c - out_null); 0 = off.

    `interval` (low, high): where it acts, as fractions of the way from clean data to noise; None = everywhere.
    """

    weight: float
    interval: tuple[float, float] | None
    rescale: float
    __checks__: ClassVar[Checks] = {
        "weight": not_negative,
        "interval": (
            lambda v: v is None or 0 <= v[0] < v[1] <= 1,
            "null, or two rising numbers between 0 and 1 (fractions of the way to noise)",
        ),
        "rescale": fraction,
    }

    def time_interval(self, schedule: Schedule) -> tuple[float, float] | None:
        """The interval in the network's time, for `guidance.guided`."""
        if self.interval is None:
            return None
        low, high = (float(schedule.time[schedule.level_at(end)]) for end in self.interval)
        return low, high


@dataclass(frozen=True)
class SampleConfig(Config):
    """Section `sample`: what a bundle does by default."""

    sampler: SamplerConfig
    guidance: GuidanceConfig
    seed: int
    __checks__: ClassVar[Checks] = {"seed": (lambda v: 0 <= v < 2**64, "a whole number from 0 to 2^64 - 1")}


def sampler_kinds() -> dict[str, type[SamplerConfig]]:
    """The samplers by their `kind`, in the union's order."""
    return {get_args(_kind_type(cls))[0]: cls for cls in get_args(SamplerConfig)}


def named(kind: str, steps: int, base: SamplerConfig | None) -> SamplerConfig:
    """A sampler by its name and number of steps; spacing and bound from `base`, else conventional ones.

    The conventional spacing is that of Lin et al. 2024, which begins at the noisiest level. Explicit levels of `base`
    hold for their own number of steps; another number is trailing.
    """
    kinds = sampler_kinds()
    if kind not in kinds:
        near = get_close_matches(kind, kinds, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ParamsError(f"sampler: must be one of {', '.join(kinds)}, got {kind!r}{hint}")
    if base is not None and base.kind == kind:
        return base.with_steps(steps)
    cls = kinds[kind]
    spacing, bound = ("trailing", "clip") if base is None else (spacing_for(base, steps), base.bound)
    return cls(kind=kind, steps=steps, spacing=spacing, bound=bound, **cls.conventional)  # type: ignore[arg-type]


def _kind_type(cls: type[SamplerConfig]) -> Any:
    return next(f.type for f in fields(cls) if f.name == "kind")
