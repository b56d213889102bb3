"""A VAE beside a diffusion model on the same digits: pictures of both, and one table.

    python benchmarks/vae_and_diffusion.py --diffusion . --vae projects/vae --out docs/images

Each folder is a project after `ddpm run`. Writes vae_samples.png, vae_reconstructions.png, vae_interpolation.png, and
prints the table. CPU seconds are of this process, on one thread; a training's are those of a step times its steps.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from common import Times, interleaved, machine, table

import numpy as np  # isort: skip
import torch  # isort: skip
from numpy.typing import NDArray  # isort: skip

from ddpm_core.device import make_repeatable
from ddpm_core.diffusion.editing import slerp
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.diffusion.spacing import spaced_levels
from ddpm_core.files import atomic_write_bytes
from ddpm_core.likelihood.nll import Data
from ddpm_core.likelihood.nll_tables import BoundTable
from ddpm_core.samplers.inversion import inversion
from ddpm_core.training.distributed import ALONE
from pipelines.kinds.pictures.rows.decode import grid
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import no_noise
from pipelines.shards.archive import read_split
from pipelines.training.setup import TrainingSetup
from pipelines.training.weights_file import read_weights

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
COLUMNS, STEPS, SCALE = 10, 50, 2
MEASURES = {
    "accuracy_asked": "classified as the requested class",
    "energy_classifier": "energy distance in the classifier's features",
    "fcd_ratio_test": "Fréchet distance, times what real digits score",
    "fcd_coverage": "coverage of unseen digits",
    "lost_classifier": "lost regions",
    "rough_share": "rougher or smoother than real ones",
    "near_share": "near copies",
}


class Latents(Protocol):
    """A data space beside a latent one."""

    def encode(self, x: Floats, label: NDArray[np.int64]) -> Floats: ...
    def decode(self, z: Floats, label: NDArray[np.int64]) -> Floats: ...
    def between(self, z_0: Floats, z_1: Floats, share: float) -> Floats: ...


class Side:
    """A project after its run."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root=root.resolve(), home=root.resolve() / ".ddpm")
        self.params = load_params(self.paths.root / "params.yaml")
        self.sampler = Sampler.open(self.paths.bundle, "cpu", threads=1)
        self.spec = self.sampler.bundle.spec
        self.net, _, _, self.objective = read_weights(self.paths.weights)
        self.metrics = json.loads(self.paths.metrics.read_bytes())

    def samples(self, rows: int) -> Images:
        labels = np.arange(rows * COLUMNS) % COLUMNS
        return self.sampler.sample(self.sampler.recipe(), range(len(labels)), {"label": labels})

    def bound(self, data: Data, levels: int) -> BoundTable:
        T = self.objective.levels
        return self.objective.bound(self.net, data, levels=min(levels, T), seed=0, on_call=lambda: None)

    def steps(self) -> Iterator[Any]:
        """An endless training, a step an item."""
        setup = TrainingSetup.of(self.params, self.paths, ALONE)
        with closing(setup.trainer(None, lambda: False).run()) as reports:
            yield from reports


class OfVae:
    """The means of q(z | x) and of p(x | z), by the weights: a bundle has no encoder."""

    def __init__(self, side: Side) -> None:
        self._net: Any = side.net

    @torch.no_grad()
    def encode(self, x: Floats, label: NDArray[np.int64]) -> Floats:
        mean: Floats = self._net.encode(torch.from_numpy(x), torch.from_numpy(label))[0].numpy()
        return mean

    @torch.no_grad()
    def decode(self, z: Floats, label: NDArray[np.int64]) -> Floats:
        mean: Floats = self._net.decode(torch.from_numpy(z), torch.from_numpy(label))[0].numpy()
        return mean

    def between(self, z_0: Floats, z_1: Floats, share: float) -> Floats:
        return ((1 - share) * z_0 + share * z_1).astype(np.float32)


class OfDiffusion:
    """The noise that DDIM leads a datum to, and back; without guidance, which has no inverse."""

    def __init__(self, side: Side) -> None:
        self._sampler, self._bundle = side.sampler, side.sampler.bundle
        self._recipe = side.sampler.recipe("ddim", STEPS, 0.0)
        self._levels = spaced_levels("trailing", self._bundle.schedule, STEPS)

    def encode(self, x: Floats, label: NDArray[np.int64]) -> Floats:
        return self._run(inversion(self._levels, self._bundle.schedule), x, label)

    def decode(self, z: Floats, label: NDArray[np.int64]) -> Floats:
        plan = self._recipe.sampler.over(self._levels, self._bundle.schedule, self._bundle.variance)
        return self._run(plan, z, label)

    def between(self, z_0: Floats, z_1: Floats, share: float) -> Floats:
        return np.concatenate([slerp(a[None], b[None], share) for a, b in zip(z_0, z_1, strict=True)])

    def _run(self, plan: Any, x: Floats, label: NDArray[np.int64]) -> Floats:
        denoise = self._sampler.denoiser(self._recipe, {"label": label})
        found: Floats = generate(
            plan, self._bundle.parameterisation, denoise, x, no_noise, bound=lambda D: D.clip(-1, 1)
        )
        return found


def reconstructed(latents: Latents, side: Side, x: Images, label: NDArray[np.int64]) -> Images:
    return side.spec.decode(latents.decode(latents.encode(side.spec.encode(x), label), label))


def interpolated(latents: Latents, side: Side, ends: tuple[Images, Images], label: NDArray[np.int64]) -> Images:
    """[pairs, columns, *shape], from one picture of each pair to the other."""
    z_0, z_1 = (latents.encode(side.spec.encode(end), label) for end in ends)
    shares = np.linspace(0, 1, COLUMNS)
    return np.stack([side.spec.decode(latents.decode(latents.between(z_0, z_1, float(s)), label)) for s in shares], 1)


def pictures(
    sides: dict[str, Side], latents: dict[str, Latents], x: Images, label: NDArray[np.int64]
) -> dict[str, bytes]:
    """The three files."""
    made = [side.samples(5).reshape(5, COLUMNS, *side.spec.shape) for side in sides.values()]
    gap = np.full_like(made[0][:, :1], 128)
    beside = np.concatenate([made[0], gap, made[1]], 1)
    back = [x[:COLUMNS], *(reconstructed(latents[name], sides[name], x[:COLUMNS], label[:COLUMNS]) for name in sides)]
    first = [np.flatnonzero(label == c)[:2] for c in range(0, COLUMNS, 2)]
    ends = x[[rows[0] for rows in first]], x[[rows[1] for rows in first]]
    told = np.arange(0, COLUMNS, 2)
    ways = np.stack([interpolated(latents[name], sides[name], ends, told) for name in sides], 1)  # [pair, side, ...]
    return {
        "vae_samples.png": grid(beside.reshape(-1, *x.shape[1:]), 2 * COLUMNS + 1, SCALE),
        "vae_reconstructions.png": grid(np.concatenate(back), COLUMNS, SCALE),
        "vae_interpolation.png": grid(ways.reshape(-1, *x.shape[1:]), COLUMNS, SCALE),
    }


def rows_of(
    sides: dict[str, Side], latents: dict[str, Latents], x: Images, label: NDArray[np.int64], levels: int
) -> Iterator[list[str]]:
    """The table: what, then a cell for each side."""
    steps = {name: side.steps() for name, side in sides.items()}
    training: dict[str, Times] = interleaved({n: lambda n=n: list(islice(steps[n], 5)) for n in sides}, repeats=3)  # type: ignore[misc]
    yield ["parameters", *(f"{sum(p.numel() for p in side.net.parameters()):,}" for side in sides.values())]
    yield ["updates", *(f"{side.params.train.steps:,}" for side in sides.values())]
    yield [
        "training, CPU s",
        *(f"{training[name].median_cpu / 5 * side.params.train.steps:.0f}" for name, side in sides.items()),
    ]
    sampling = interleaved({name: lambda side=side: side.samples(5) for name, side in sides.items()}, repeats=3)  # type: ignore[misc]
    yield ["evaluations a sample", *(str(side.sampler.recipe().cost(1)) for side in sides.values())]
    yield ["CPU ms a sample", *(f"{1000 * times.median_cpu / (5 * COLUMNS):.2f}" for times in sampling.values())]
    for name, words in MEASURES.items():
        yield [words, *(measured(side.metrics, name) for side in sides.values())]
    few = sides["VAE"].spec.encode(x), label
    data = Data(sides["VAE"].spec, torch.from_numpy(few[0]), {"label": torch.from_numpy(label)}, range(len(x)))
    with torch.no_grad():
        bounds = {name: side.bound(data, levels).total for name, side in sides.items()}
    yield ["bound, bits per dimension", *(f"{b.mean:.3f} ± {b.standard_error:.3f}" for b in bounds.values())]
    off = {n: x[:100].astype(float) - reconstructed(latents[n], sides[n], x[:100], label[:100]) for n in sides}
    yield ["reconstruction, root mean square, levels", *(f"{np.sqrt((each**2).mean()):.1f}" for each in off.values())]


def measured(metrics: dict[str, float], name: str) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    value = metrics.get(name)
    if value is None:
        return "-"
    return f"{value:.3g}" if low is None or high is None else f"{value:.3g} ({low:.3g} to {high:.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diffusion", type=Path, default=Path(), help="a project of the default parameters")
    parser.add_argument("--vae", type=Path, default=Path("projects/vae"), help="a project of preset vae")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="for the pictures")
    parser.add_argument("--images", type=int, default=200, help="unseen pictures whose bits are bounded")
    parser.add_argument("--levels", type=int, default=40, help="levels of noise drawn for each of them")
    args = parser.parse_args()
    make_repeatable(1)
    sides = {"VAE": Side(args.vae), "diffusion": Side(args.diffusion)}
    latents: dict[str, Latents] = {"VAE": OfVae(sides["VAE"]), "diffusion": OfDiffusion(sides["diffusion"])}
    split = read_split(sides["VAE"].paths.shards, "test")
    chosen = generator(0, Purpose.EVALUATE).permutation(len(split))[: args.images]
    x, label = split.x[chosen], split.cond["label"][chosen]
    for name, png in pictures(sides, latents, x, label).items():
        atomic_write_bytes(args.out / name, png)
    print(machine("torch", "numpy"))
    print(table(["", *sides], list(rows_of(sides, latents, x, label, args.levels))))


if __name__ == "__main__":
    main()
