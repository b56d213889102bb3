"""For benchmarks/planted_faults.py: the faults, each as the samples that it makes and the healthy ones beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import planted_pools as pools
from planted_bench import Bench, Samples
from planted_pools import FULL, SMALL, SUBSETS

# (the bench, the number of the subset) to the samples with the fault and the healthy ones of the same seeds and labels
Planted = Callable[[Bench, int], tuple[Samples, Samples]]


def one_class(bench: Bench, subset: int) -> tuple[Samples, Samples]:
    """Whatever is asked for, the same digit comes: 100 of them a subset, for there are not many more."""
    commonest = int(np.bincount(bench.test.labels).argmax())
    own = Samples.joined([each.take(each.labels == commonest) for each in bench.healthy])
    rows = np.arange(subset * 100, subset * 100 + 100)
    champion = bench.healthy[subset].take(np.arange(100))
    return replace(own.take(rows), labels=champion.labels), champion


def missing_class(bench: Bench, subset: int) -> tuple[Samples, Samples]:
    """No 8 is ever made: where one is asked for, another digit comes."""
    healthy, other = bench.healthy[subset], bench.healthy[(subset + 1) % SUBSETS]
    gone = healthy.labels == 8
    others = other.take(np.flatnonzero(other.labels != 8)[: gone.sum()])
    asked = healthy.take(gone).labels
    return Samples.joined([healthy.take(~gone), replace(others, labels=asked)]), healthy


def copies(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Planted:
    def planted(bench: Bench, subset: int) -> tuple[Samples, Samples]:
        """Training images in place of 1 % of the samples (11 of 1,027)."""
        rng = np.random.default_rng([77, subset])
        healthy = bench.healthy[subset]
        rows = rng.choice(len(healthy.labels), round(0.01 * FULL) + 1, replace=False)
        taken = np.array([rng.choice(np.flatnonzero(bench.train.labels == label)) for label in healthy.labels[rows]])
        stolen = bench.seen(change(bench.train.images[taken], rng), healthy.labels[rows])
        kept = healthy.take(np.setdiff1d(np.arange(len(healthy.labels)), rows))
        return Samples.joined([kept, stolen]), healthy

    return planted


def renoised(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x = images / 127.5 - 1
    x = np.sqrt(1 - 0.1**2) * x + 0.1 * rng.standard_normal(x.shape)
    levels: np.ndarray = np.clip(np.rint((x + 1) * 127.5), 0, 255).astype(np.uint8)
    return levels


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    down, across = rng.permutation([0, rng.choice([-1, 1])])
    moved: np.ndarray = np.roll(images, (int(down), int(across)), axis=(-2, -1))
    return moved


def whole(change: Callable[[np.ndarray], np.ndarray]) -> Planted:
    def planted(bench: Bench, subset: int) -> tuple[Samples, Samples]:
        healthy = bench.healthy[subset]
        return bench.seen(change(healthy.images), healthy.labels), healthy

    return planted


def sampled(name: str) -> Planted:
    def planted(bench: Bench, subset: int) -> tuple[Samples, Samples]:
        found = bench.pool(name, subset)
        return found, bench.healthy[subset].take(np.arange(len(found.labels)))

    return planted


@dataclass(frozen=True)
class Fault:
    """How many samples a subset has, and how they are made."""

    n: int
    planted: Planted


FAULTS: Mapping[str, Fault] = {
    "one class only": Fault(100, one_class),
    "one class missing": Fault(FULL, missing_class),
    "1 % copies, exact": Fault(FULL, copies(lambda images, rng: images)),
    "1 % copies, noise of 10 %": Fault(FULL, copies(renoised)),
    "1 % copies, shifted by a pixel": Fault(FULL, copies(shifted)),
    "inverted colours": Fault(FULL, whole(lambda images: 255 - images)),
    "vertical flip": Fault(FULL, whole(lambda images: images[..., ::-1, :].copy())),
    "raw weights, no average": Fault(SMALL, sampled("raw")),
    "wrong schedule at sampling": Fault(SMALL, sampled("linear")),
    "network told t + 1": Fault(SMALL, sampled("late")),
    "no clip": Fault(SMALL, sampled("unclipped")),
    "a quarter of the steps": Fault(FULL, sampled("quarter")),
    "untrained network": Fault(SMALL, sampled("untrained")),
}


# ---- faults that show elsewhere


def golden_differences(project: Path, cache: Path) -> dict[str, float]:
    """Levels by which the golden image differs, where the code that samples has the fault."""
    from ddpm_core.diffusion import bounds

    found = {
        "healthy": pools.as_built(project, cache),
        "wrong schedule at sampling": pools.with_linear_schedule(project, cache),
        "network told t + 1": pools.one_level_late(project, cache),
        "truncation": pools.truncating(project, cache),
    }
    differences = {name: float(sampler.golden_difference() or 0.0) for name, sampler in found.items()}
    kept = bounds.operator
    try:
        bounds.operator = lambda *_: None
        differences["no clip"] = float(pools.as_built(project, cache).golden_difference() or 0.0)
    finally:
        bounds.operator = kept
    return differences


def flipped_bits(project: Path, cache: Path) -> int:
    """Of 20 bundles with one bit flipped in a file, how many are refused when they are read."""
    from ddpm_core.bundle import read_bundle
    from ddpm_core.errors import IntegrityError

    rng, refused = np.random.default_rng(3), 0
    folder = cache / "flipped"
    folder.mkdir(exist_ok=True)
    for trial in range(20):
        for name in ("model.onnx", "bundle.json"):
            data = bytearray((project / "out" / "bundle" / name).read_bytes())
            if (name == "bundle.json") == (trial % 4 == 0):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            (folder / name).write_bytes(data)
        try:
            read_bundle(folder)
        except IntegrityError:
            refused += 1
    return refused
