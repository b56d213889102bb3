"""Langevin steps whose size is chosen by the sample itself (Song et al. 2021, algorithm 4): no plan holds them.

So it is no member of the union: an export, whose samplers are plans, refuses it by name. It runs through the same loop,
as an `on_step` after the rows of any plan. Each image chooses for itself, so its neighbours do not change it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1, positive
from ddpm_core.diffusion.arrays import Array, Denoise, full, norm_per_image
from ddpm_core.diffusion.generate import Noise, generate
from ddpm_core.diffusion.levels import Schedule
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.diffusion.variance import Variance
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.ancestral import Ancestral
from ddpm_core.samplers.base import SHARED_CHECKS, Sampler


@dataclass(frozen=True)
class AdaptiveLangevin(Sampler):
    """An ancestral step, then `corrections` Langevin steps of size d = 2 (snr |z| / |score|)^2 where it landed."""

    kind: Literal["adaptive_langevin"]
    corrections: int
    snr: float
    __checks__: ClassVar[Checks] = {**SHARED_CHECKS, "corrections": at_least_1, "snr": positive}

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        raise ParamsError(
            "adaptive_langevin: its step sizes depend on the sample, so it has no plan and cannot be exported; "
            "take predictor_corrector, or sample with AdaptiveLangevin.sample where the network is at hand"
        )

    def sample(
        self,
        parameterisation: Parameterisation,
        variance: Variance,
        denoise: Denoise,
        x_T: Array,
        noise: Noise,
        corrector_noise: Callable[[int], Array],
        *,
        bound: Callable[[Array], Array] | None = None,
    ) -> Array:
        """As `generate`; `corrector_noise(k)` is the k-th correction's unit noise, drawn for another purpose."""
        schedule = parameterisation.schedule
        predictor = Ancestral(self.steps, self.spacing, self.bound, "ancestral").plan(schedule, variance)
        landings = predictor.s.tolist()

        def correct(row: int, x: Array, D: Array) -> Array:
            t = landings[row]
            for number in range(self.corrections if t > 0 else 0):
                x = self._step(parameterisation, denoise, x, t, corrector_noise(row * self.corrections + number), bound)
            return x

        return generate(predictor, parameterisation, denoise, x_T, noise, bound=bound, on_step=correct)

    def _step(
        self,
        parameterisation: Parameterisation,
        denoise: Denoise,
        x: Array,
        t: int,
        z: Array,
        bound: Callable[[Array], Array] | None,
    ) -> Array:
        schedule = parameterisation.schedule
        A, B, c_in = (float(column[t]) for column in parameterisation.table())
        out = denoise(c_in * x, full(x, float(schedule.time[t])))
        D = A * x + B * out[:, : x.shape[1]]
        D = D if bound is None else bound(D)
        score = (float(schedule.a[t]) * D - x) * float(schedule.g[t]) ** -2
        d = 2 * (self.snr * norm_per_image(z) / norm_per_image(score)) ** 2
        return x + d * score + (2 * d) ** 0.5 * z
