"""Sampling from a bundle. The datum of a seed and its conditions does not depend on its batch, place or neighbours."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.bundle.golden import Golden
from ddpm_core.diffusion import bounds, noise
from ddpm_core.diffusion.arrays import Array, Denoise
from ddpm_core.diffusion.guidance import Guide
from ddpm_core.diffusion.rollout import sample as sample_by
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.pseudo_classes import drawn, has_pseudo_classes
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named
from ddpm_core.spec import LABEL
from pipelines.parsing import parse
from pipelines.runtime.progress import Progress
from pipelines.sampling.common_calls import CommonCalls
from pipelines.sampling.onnx_denoiser import Net, OnnxDenoiser, in_few_shapes, in_one_shape
from pipelines.sampling.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.sampling.torch_denoiser import TorchDenoiser

log = logging.getLogger(__name__)

Engine = Literal["onnxruntime", "torch"]
"""What runs the network: onnxruntime everywhere; torch, for large evaluations on a GPU, where it is installed."""
OnStep = Callable[[int, int], None]
"""(rows of the plan done, rows in all batches), called after each row; an exception of it ends the sampling."""
Conditions = Mapping[str, NDArray[Any]]
"""What the network is told of each datum of a batch, [n, ...] by name, as `DataSpec.conditions_for` gives it."""
Watch = Callable[[int, Array, Array], None]
"""(row of the plan, the batch's x after it, its x0_hat), to show how samples form; column by column in a rollout."""


class Sampler:
    """A bundle with its network open.

    sampler = Sampler.open("out/bundle")
    samples = sampler.sample(sampler.recipe(steps=20), seeds=[0, 1], cond={"label": [7, None]})
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        threads: int = 1,
        gpu: int = 0,
        engine: Engine = "onnxruntime",
    ) -> None:
        self.bundle = bundle
        self.defaults: SampleConfig = parse(SampleConfig, bundle.sample, "bundle.json: sample")
        self._torch = _torch_denoiser(bundle, device, threads, gpu) if engine == "torch" else None
        started = self._torch or OnnxDenoiser(bundle, device, threads, gpu)
        self._net: Net = started
        self._own: Net = started
        self._encoder: Net | None = started.encoder if isinstance(started, OnnxDenoiser) else None
        self.device, self.threads, self.engine = started.device, threads, engine
        self.provider = started.provider if isinstance(started, OnnxDenoiser) else engine

    @classmethod
    def open(
        cls, bundle: Path | str, device: str = "auto", threads: int = 1, *, engine: Engine = "onnxruntime"
    ) -> "Sampler":
        """Read and verify a bundle's folder, and start its network on the device."""
        return cls(read_bundle(Path(bundle)), device, threads, engine=engine)

    @property
    def network(self) -> Net:
        """The network itself, for other uses than sampling."""
        return self._net

    def share_calls(self, callers: Callable[[], int]) -> None:
        """Let threads that sample at the same time share the network's calls; `callers` tells how many they are."""
        self._net = CommonCalls(self._own if self.device == "cpu" else in_few_shapes(self._own), callers)

    def made_by(self, recipe: Recipe) -> dict[str, str]:
        """All that a sample depends on beside its seed and conditions, as text."""
        made = {
            "bundle": self.bundle.digest,
            "sampler": recipe.plan.kind,
            "steps": str(recipe.sampler.steps),
            "guidance": f"{recipe.guidance.weight:g}",
        }
        return made if self.engine == "onnxruntime" else {**made, "engine": self.engine}

    def recipe(
        self,
        sampler: SamplerConfig | str | None = None,
        steps: int | None = None,
        guidance: GuidanceConfig | float | None = None,
    ) -> Recipe:
        """How to sample by these choices; None is the bundle's default, a text names a sampler by its kind."""
        return Recipe.of(self.bundle, self.defaults, sampler, steps, guidance)

    def sample(
        self,
        recipe: Recipe,
        seeds: Sequence[int],
        cond: Mapping[str, Any] | None = None,
        *,
        batch_size: int = 64,
        gpu_batch: int | None = None,
        on_step: OnStep | None = None,
        watch: Watch | None = None,
        progress: bool = False,
    ) -> NDArray[Any]:
        """One datum for each seed, [n, *shape], as data are kept: uint8 where they have levels, else float32.

        `cond` holds a value for each seed by the condition's name; what is left out, and None in a list, is not told.
        On a GPU onnxruntime is asked in batches of one size alone: `gpu_batch`, or the size of the first batch.
        """
        spec, n = self.bundle.spec, len(seeds)
        told = spec.conditions_for(cond or {}, n)
        if has_pseudo_classes(spec):
            told[LABEL] = drawn(spec, told[LABEL], seeds)
        if batch_size < 1:
            raise ParamsError(f"batch_size: must be at least 1, got {batch_size}")
        samples = np.empty((n, *spec.shape), dtype=spec.dtype)
        rows, batches = recipe.rows, -(-n // batch_size)
        shape = max(1, min(batch_size, n)) if gpu_batch is None else gpu_batch
        run = partial(self._run, shape) if self._torch is None else self._torch.sample
        with Progress(rows * batches, "sample", "steps", quiet=not progress) as bar:
            done = 0

            def after_row(number: int, x: Array, D: Array) -> None:
                nonlocal done
                done += 1
                bar.update()
                if on_step is not None:
                    on_step(done, rows * batches)
                if watch is not None:
                    watch(number, *((x, D) if self._torch is None else (x.cpu().numpy(), D.cpu().numpy())))

            for start in range(0, n, batch_size):
                part = slice(start, start + batch_size)
                batch = {name: value[part] for name, value in told.items()}
                x0 = run(recipe, batch, list(seeds[part]), after_row)
                if not np.isfinite(x0).all():
                    raise IntegrityError(
                        "the model gave a non-finite value; choose more steps or less guidance, or train again"
                    )
                samples[part] = spec.decode(x0, batch.get(LABEL))
        return samples

    def _run(
        self,
        gpu_batch: int,
        recipe: Recipe,
        cond: Conditions,
        seeds: Sequence[int],
        after_row: Callable[[int, Array, Array], None],
    ) -> NDArray[np.float32]:
        """One batch by numpy, in the network's range; `TorchDenoiser.sample` is the same by torch."""
        spec, plan = self.bundle.spec, recipe.plan
        net, encoder = self._net, self._encoder
        if self.device == "cuda":
            net = net if isinstance(net, CommonCalls) else in_one_shape(net, gpu_batch)
            encoder = None if encoder is None else in_one_shape(encoder, gpu_batch)
        x0: NDArray[np.float32] = sample_by(
            self.bundle.procedure,
            plan,
            self.bundle.parameterisation,
            net,
            encoder,
            self._guide(recipe),
            cond,
            noise.initial(seeds, spec.shape) * plan.start_scale,
            lambda step: noise.step_noise(seeds, step, spec.shape),
            bound=bounds.operator(plan.bound, spec.range),
            on_step=after_row,
        )
        return x0

    def denoiser(self, recipe: Recipe, cond: Conditions) -> Denoise:
        """What the loop asks: the network with these conditions bound, guided as the recipe says."""
        if self.bundle.procedure is not None:
            raise ParamsError(
                "this needs a network that is sampled in one loop, but the one of this bundle makes column after "
                "column; take `ddpm sample` or `ddpm forecast`, or a bundle with another network"
            )
        return self._guide(recipe).bind(self._net, cond)

    def _guide(self, recipe: Recipe) -> Guide:
        spec, guidance = self.bundle.spec, recipe.guidance
        return Guide(guidance.weight, spec.null, spec.channels, recipe.interval, guidance.rescale)

    # ------------------------------------------------------------------------------------------------- golden

    def make_golden(self, steps: int, tolerance: float) -> Golden:
        """A sample to recognise this model by: seed 0, a few steps of DDIM, the first class where there are classes.

        A student of some levels alone is sampled at those. Of other conditions none is told, but zeros where a
        condition must be.
        """
        cond: dict[str, Any] = {}
        for name, condition in self.bundle.spec.conditions.items():
            if condition.classes or condition.null is None:
                cond[name] = np.zeros(condition.shape, dtype=condition.dtype).tolist()
        own = self.bundle.student
        bound = own is not None and own.sampler is not None
        sampler = self.defaults.sampler if bound else named("ddim", steps, self.defaults.sampler)
        return Golden.of(self._one(sampler, 0, cond), seed=0, cond=cond, sampler=asdict(sampler), tolerance=tolerance)

    def check_golden(self) -> str:
        """Make the golden sample again: "equal" or "near"; IntegrityError if it differs more than allowed."""
        golden = self.bundle.golden
        if golden is None:
            return "none"
        likeness = golden.compare(self._resample(golden))
        if likeness == "different":
            raise IntegrityError(
                f"bundle {self.bundle.digest[:16]}: the golden sample must come out as when the model was exported "
                f"(mean difference at most {golden.tolerance:g}), and it does not on this machine's {self.device}; run "
                "`ddpm doctor`, or make the bundle again with `ddpm export`"
            )
        return likeness

    def golden_difference(self) -> float | None:
        """Mean difference of the golden sample, made again; None for a bundle without one."""
        golden = self.bundle.golden
        return None if golden is None else golden.difference(self._resample(golden))

    def _resample(self, golden: Golden) -> NDArray[Any]:
        return self._one(parse(SamplerConfig, golden.sampler, "bundle.json: golden.sampler"), golden.seed, golden.cond)

    def _one(self, sampler: SamplerConfig, seed: int, cond: Mapping[str, Any]) -> NDArray[Any]:
        sample: NDArray[Any] = self.sample(
            self.recipe(sampler, guidance=0.0), [seed], {name: [value] for name, value in cond.items()}
        )[0]
        return sample


def _torch_denoiser(bundle: Bundle, device: str, threads: int, gpu: int) -> "TorchDenoiser":
    """Imported on demand: torch takes seconds to load, and an installation for serving has none."""
    try:
        from pipelines.sampling.torch_denoiser import TorchDenoiser
    except ModuleNotFoundError as error:
        raise ParamsError(
            f"engine torch: must have the packages torch and onnx, but {error.name} is not installed; install them "
            "with `make install`, or take engine onnxruntime"
        ) from error
    return TorchDenoiser(bundle, device, threads, gpu)
