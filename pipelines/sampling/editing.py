"""Data edited through the loop and the bundle that `ddpm sample` uses: filled, varied, or between two seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.arrays import Array
from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.editing import known_region, levels_from, noised, slerp, with_resampling
from ddpm_core.diffusion.generate import Noise, generate
from ddpm_core.diffusion.generate import OnStep as AfterRow
from ddpm_core.diffusion.noise import Purpose, initial, step_noise
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.inversion import inversion
from pipelines.runtime.progress import Progress
from pipelines.sampling.bundle_sampler import OnStep, Sampler, Watch
from pipelines.sampling.recipe import Recipe

Data = NDArray[Any]
"""As data are kept: uint8 where they have levels, else float32."""


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit that can be run: a recipe with the edit's own plan, and where data start from.

    `start` takes the seeds of a batch and its place among the data; `on_step` puts what is `kept` of the datum back
    after each row.
    """

    recipe: Recipe
    start: Callable[[Sequence[int], slice], Array]
    on_step: Callable[[Sequence[int]], AfterRow] | None = None
    kept: tuple[Data, NDArray[np.bool_]] | None = None

    def with_kept(self, data: Data) -> Data:
        """Data [n, ...] with what is kept in its place."""
        return data if self.kept is None else np.where(self.kept[1], self.kept[0], data)


class Editor:
    """A sampler and a recipe with the conditions of n data. Each is a function of its own seed and conditions alone."""

    def __init__(
        self, sampler: Sampler, recipe: Recipe, n: int, cond: Mapping[str, Any] | None = None, *, progress: bool = False
    ) -> None:
        self._sampler, self._recipe, self._n, self._progress = sampler, recipe, n, progress
        self._cond = sampler.bundle.spec.conditions_for(cond or {}, n)
        self._shape, self._schedule = sampler.bundle.spec.shape, sampler.bundle.schedule

    def inpaint(self, datum: Data, keep: NDArray[np.bool_], seeds: Sequence[int], times: int) -> Data:
        """The datum where `keep` is true, the rest anew; RePaint walks each step `times` times."""
        return self.run(self.inpainting(datum, keep, times), seeds)

    def inpainting(self, datum: Data, keep: NDArray[np.bool_], times: int) -> Edit:
        """What `inpaint` runs."""
        self._needs_levels("inpaint")
        plan = self._recipe.plan if times == 1 else with_resampling(self._recipe.plan, self._schedule, 1, times)
        mask = np.broadcast_to(keep, (1, *self._shape)).astype(np.float32)

        def known(seeds: Sequence[int]) -> AfterRow:
            def other_noise(step: int) -> Array:
                return step_noise(seeds, step, self._shape, purpose=Purpose.RESAMPLE)

            return known_region(plan, self._schedule, self._encoded(datum), mask, other_noise)

        def start(seeds: Sequence[int], part: slice) -> Array:
            return self._noise(seeds)(0) * plan.start_scale

        return Edit(replace(self._recipe, plan=plan), start, known, (datum, keep))

    def vary(self, datum: Data, seeds: Sequence[int], strength: float) -> Data:
        """The datum with noise up to `strength` of the way, and down again."""
        return self.run(self.variation(datum, strength), seeds)

    def variation(self, datum: Data, strength: float) -> Edit:
        """What `vary` runs."""
        plan = self._down(self._levels_from(strength))

        def start(seeds: Sequence[int], part: slice) -> Array:
            return noised(self._schedule, self._encoded(datum), int(plan.t[0]), self._noise(seeds)(0))

        return Edit(replace(self._recipe, plan=plan), start)

    def run(
        self,
        edit: Edit,
        seeds: Sequence[int],
        *,
        batch_size: int | None = None,
        on_step: OnStep | None = None,
        watch: Watch | None = None,
    ) -> Data:
        """The edited data, one for each seed; the options are those of `Sampler.sample`."""
        plan, size = edit.recipe.plan, batch_size or len(seeds)
        firsts = range(0, len(seeds), size)
        found = []
        for number, first in enumerate(firsts):
            part = slice(first, first + size)
            known = None if edit.on_step is None else edit.on_step(seeds[part])

            def after_row(row: int, x: Array, D: Array, known: Any = known, number: int = number) -> Array | None:
                if on_step is not None:
                    on_step(number * len(plan) + row + 1, len(firsts) * len(plan))
                if watch is not None:
                    watch(row, x, D)
                return None if known is None else known(row, x, D)

            found.append(self._run(plan, edit.start(seeds[part], part), self._noise(seeds[part]), after_row, part))
        return self._decoded(np.concatenate(found))

    def vary_by_inversion(self, datum: Data, own: Mapping[str, Any], strength: float) -> Data:
        """Up to `strength` of the way by DDIM backwards, under its own conditions, and down under the others."""
        levels = self._levels_from(strength)
        plan = self._down(levels)
        if plan.needs_noise:
            raise ParamsError(
                f"--invert: needs a sampler that draws no noise after the first, got {plan.kind}; take --sampler ddim"
            )
        unguided = self._sampler.recipe(self._recipe.sampler, None, 0.0)
        up = Editor(self._sampler, unguided, 1, {name: [value] for name, value in own.items()}, progress=self._progress)
        x = up._run(inversion(levels, self._schedule), self._encoded(datum), no_noise)
        return self._decoded(self._run(plan, x.repeat(self._n, axis=0), no_noise))

    def interpolate(self, seed: int, to_seed: int) -> Data:
        """From the datum of one seed to that of another, along the great circle between their noises."""
        return self.run(self.interpolation(seed, to_seed), [seed] * self._n)

    def interpolation(self, seed: int, to_seed: int) -> Edit:
        """What `interpolate` runs."""
        ends = initial([seed], self._shape), initial([to_seed], self._shape)
        shares = np.linspace(0, 1, self._n)

        def start(seeds: Sequence[int], part: slice) -> Array:
            x = np.concatenate([slerp(*ends, float(share)) for share in shares[part]])
            return x * self._recipe.plan.start_scale

        return Edit(self._recipe, start)

    def _needs_levels(self, edit: str) -> None:
        if self._schedule.one_level:
            raise ParamsError(
                f"{edit}: needs a model with levels between data and noise, where a datum can stand half-way; this one "
                "makes data of noise in one evaluation: interpolate between seeds instead"
            )
        student = self._sampler.bundle.student
        if student is not None and student.sampler is not None:
            raise ParamsError(
                f"{edit}: needs a model that is valid at any level, but this student is so at "
                f"{list(student.sampler['levels'])} alone; take its teacher, or interpolate between seeds"
            )

    def _levels_from(self, strength: float) -> list[int]:
        self._needs_levels("vary")
        return levels_from(self._recipe.sampler.levels(self._schedule), self._schedule, strength)

    def _down(self, levels: list[int]) -> SamplingPlan:
        return self._recipe.sampler.over(levels, self._schedule, self._sampler.bundle.variance)

    def _run(
        self,
        plan: SamplingPlan,
        x: Array,
        noise: Noise,
        on_step: AfterRow | None = None,
        part: slice = slice(None),
    ) -> NDArray[np.float32]:
        cond = {name: value[part] for name, value in self._cond.items()}
        with Progress(len(plan), "edit", "steps", quiet=not self._progress) as bar:

            def after_row(row: int, x: Array, D: Array) -> Array | None:
                bar.update()
                return None if on_step is None else on_step(row, x, D)

            found: NDArray[np.float32] = generate(
                plan,
                self._sampler.bundle.parameterisation,
                self._sampler.denoiser(self._recipe, cond),
                x,
                noise,
                bound=operator(plan.bound, self._sampler.bundle.spec.range),
                on_step=after_row,
            )
        return found

    def _noise(self, seeds: Sequence[int]) -> Callable[[int], Array]:
        return lambda step: step_noise(seeds, step, self._shape)

    def _encoded(self, datum: Data) -> NDArray[np.float32]:
        return self._sampler.bundle.spec.encode(datum[None])

    def _decoded(self, x0: NDArray[np.float32]) -> Data:
        return self._sampler.bundle.spec.decode(x0)


def no_noise(step: int) -> Array:
    raise AssertionError("a plan that draws no noise asked for it")
