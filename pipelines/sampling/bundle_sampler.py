"""Sampling from a bundle. The image of a (label, seed) does not depend on its batch, place or neighbours."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.bundle.format import Bundle, Golden, read_bundle
from ddpm_core.diffusion import bounds, noise
from ddpm_core.diffusion.arrays import Array, Denoise
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.guidance import calls, guided
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named
from ddpm_core.spec import conditions_of
from pipelines.parsing import Faults, parse_value
from pipelines.runtime.progress import Progress
from pipelines.sampling.onnx_denoiser import Net, OnnxDenoiser, in_one_shape

if TYPE_CHECKING:
    from pipelines.sampling.torch_denoiser import TorchDenoiser

log = logging.getLogger(__name__)

Engine = Literal["onnxruntime", "torch"]
"""What runs the network: onnxruntime everywhere; torch, for large evaluations on a GPU, where it is installed."""
OnStep = Callable[[int, int], None]
"""(rows of the plan done, rows in all batches), called after each row; an exception of it ends the sampling."""
Conditions = Mapping[str, NDArray[Any]]
"""What the network is told of each datum of a batch, [n, ...] by name."""
Watch = Callable[[int, Array, Array], None]
"""(row of the plan, the batch's x after it, its x0_hat), to show how samples form."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """How to sample: the caller's choices, else the bundle's defaults."""

    sampler: SamplerConfig
    guidance: GuidanceConfig
    plan: SamplingPlan
    interval: tuple[float, float] | None
    """Where guidance acts, in the network's time; None is everywhere."""

    def cost(self, n: int) -> int:
        """Network evaluations of single images; guidance doubles them where it acts."""
        times = self.plan.time[self.plan.asks]
        return n * int(calls(times, self.guidance.weight, self.interval).sum())


class Sampler:
    """A bundle with its network open.

    sampler = Sampler.open("out/bundle")
    images = sampler.sample(sampler.recipe(steps=20), labels=[7, 7], seeds=[0, 1])
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
        self.defaults: SampleConfig = _parse(SampleConfig, bundle.sample, "bundle.json: sample")
        self._torch = _torch_denoiser(bundle, device, threads, gpu) if engine == "torch" else None
        started = self._torch or OnnxDenoiser(bundle, device, threads, gpu)
        self._net: Net = started
        self.device, self.threads, self.engine = started.device, threads, engine

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

    def made_by(self, recipe: Recipe) -> dict[str, str]:
        """All that an image depends on beside its seed and label, as text."""
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
        """How to sample by these choices; None is the bundle's default, a text names a sampler by its kind.

        ParamsError where the choices are not possible.
        """
        default = self.defaults.sampler
        if isinstance(sampler, str):
            chosen = named(sampler, default.steps if steps is None else steps, default)
        else:
            chosen = default if sampler is None else sampler
            chosen = chosen if steps is None else replace(chosen, steps=steps)
        plan = chosen.plan(self.bundle.schedule, self.bundle.variance)
        guided_by = self._guidance(guidance)
        return Recipe(chosen, guided_by, plan, guided_by.time_interval(self.bundle.schedule))

    def sample(
        self,
        recipe: Recipe,
        labels: Sequence[int | None],
        seeds: Sequence[int],
        *,
        batch_size: int = 64,
        gpu_batch: int | None = None,
        on_step: OnStep | None = None,
        watch: Watch | None = None,
        progress: bool = False,
    ) -> NDArray[np.uint8]:
        """Pictures [n, C, H, W] by a recipe of this sampler, one for each (label, seed); label None is no label.

        On a GPU onnxruntime is asked in batches of one size alone: `gpu_batch`, or the size of the first batch.
        """
        if len(labels) != len(seeds):
            raise ParamsError(f"labels and seeds must be equally many, got {len(labels)} labels and {len(seeds)} seeds")
        cond = self._conditions(labels)
        if batch_size < 1:
            raise ParamsError(f"batch_size: must be at least 1, got {batch_size}")
        images = np.empty((len(seeds), *self.bundle.spec.shape), dtype=np.uint8)
        rows, batches = len(recipe.plan), -(-len(seeds) // batch_size)
        shape = max(1, min(batch_size, len(seeds))) if gpu_batch is None else gpu_batch
        net = in_one_shape(self._net, shape) if self.device == "cuda" else self._net
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

            for start in range(0, len(seeds), batch_size):
                part = slice(start, start + batch_size)
                x0 = self._batch(
                    net, recipe, {name: value[part] for name, value in cond.items()}, list(seeds[part]), after_row
                )
                images[part] = self.bundle.spec.decode(x0)
        return images

    def _batch(
        self,
        net: Net,
        recipe: Recipe,
        cond: Conditions,
        seeds: list[int],
        after_row: Callable[[int, Array, Array], None],
    ) -> NDArray[np.float32]:
        if self._torch is None:
            x0 = self._numpy_batch(net, recipe, cond, seeds, after_row)
        else:
            x0 = self._torch.sample(recipe, cond, seeds, after_row)
        if not np.isfinite(x0).all():
            raise IntegrityError(
                "the model gave a non-finite value; choose more steps or less guidance, or train again"
            )
        return x0

    def _numpy_batch(
        self,
        net: Net,
        recipe: Recipe,
        cond: Conditions,
        seeds: list[int],
        after_row: Callable[[int, Array, Array], None],
    ) -> NDArray[np.float32]:
        spec, plan = self.bundle.spec, recipe.plan
        x0: NDArray[np.float32] = generate(
            plan,
            self.bundle.parameterisation,
            self._guided(net, recipe, cond),
            noise.initial(seeds, spec.shape) * plan.start_scale,
            lambda step: noise.step_noise(seeds, step, spec.shape),
            bound=bounds.operator(plan.bound, spec.range),
            on_step=after_row,
        )
        return x0

    def denoiser(self, recipe: Recipe, labels: Sequence[int | None]) -> Denoise:
        """What the loop asks: the network with these labels bound, guided as the recipe says."""
        return self._guided(self._net, recipe, self._conditions(labels))

    def _guided(self, net: Net, recipe: Recipe, cond: Conditions) -> Denoise:
        return guided(
            net,
            cond,
            recipe.guidance.weight,
            null=self.bundle.spec.null,
            channels=self.bundle.spec.channels,
            interval=recipe.interval,
            rescale=recipe.guidance.rescale,
        )

    def _guidance(self, asked: GuidanceConfig | float | None) -> GuidanceConfig:
        if asked is None:
            chosen = self.defaults.guidance
        elif isinstance(asked, GuidanceConfig):
            chosen = asked
        else:
            chosen = replace(self.defaults.guidance, weight=float(asked))
        if self.bundle.spec.null or chosen.weight == 0:
            return chosen
        if asked is not None:
            raise ParamsError(
                f"guidance: must be 0 for a model without labels, got {chosen.weight:g}; leave it out, or train one "
                "with labels"
            )
        return replace(chosen, weight=0.0)

    def _conditions(self, labels: Sequence[int | None]) -> Conditions:
        """Labels for the network; None becomes the null label."""
        spec = self.bundle.spec
        null = len(spec.classes)
        if not spec.conditions:
            asked = sorted({label for label in labels if label is not None})
            if asked:
                raise ParamsError(f"label: this model was trained without labels, got {asked[:5]}; leave the label out")
            return {}
        wrong = sorted({label for label in labels if label is not None and not 0 <= label < null})
        if wrong:
            raise ParamsError(f"label: must be from 0 to {null - 1}, or none, got {wrong[:5]}")
        return conditions_of(spec, np.array([-1 if label is None else label for label in labels], dtype=np.int64))

    # ------------------------------------------------------------------------------------------------- golden

    def make_golden(self, steps: int, tolerance: float) -> Golden:
        """An image to recognise this model by: the first class, seed 0, a few steps of DDIM."""
        sampler = named("ddim", steps, self.defaults.sampler)
        label = 0 if self.bundle.spec.classes else None
        image = self.sample(self.recipe(sampler, guidance=0.0), [label], [0])[0]
        return Golden.of(image, seed=0, label=label, sampler=asdict(sampler), tolerance=tolerance)

    def check_golden(self) -> str:
        """Sample the golden image again: "equal" or "near"; IntegrityError if it differs more than allowed."""
        golden = self.bundle.golden
        if golden is None:
            return "none"
        likeness = golden.compare(self._resample(golden))
        if likeness == "different":
            raise IntegrityError(
                f"bundle {self.bundle.digest[:16]}: the golden image must come out as when the model was exported "
                f"(mean difference at most {golden.tolerance:g} levels), and it does not on this machine's "
                f"{self.device}; run `ddpm doctor`, or make the bundle again with `ddpm export`"
            )
        return likeness

    def golden_difference(self) -> float | None:
        """Mean difference in levels of the golden image, sampled again; None for a bundle without one."""
        golden = self.bundle.golden
        return None if golden is None else golden.difference(self._resample(golden))

    def _resample(self, golden: Golden) -> NDArray[np.uint8]:
        sampler: SamplerConfig = _parse(SamplerConfig, golden.sampler, "bundle.json: golden.sampler")
        images = self.sample(self.recipe(sampler, guidance=0.0), [golden.label], [golden.seed])
        return images.reshape(self.bundle.spec.shape)


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


def _parse(kind: Any, value: Any, where: str) -> Any:
    """A dataclass from the bundle's JSON, checked as params.yaml is."""
    faults = Faults()
    config = parse_value(kind, value, "", faults)
    faults.raise_if_any(where)
    return config
