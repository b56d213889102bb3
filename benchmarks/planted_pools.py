"""Pools of samples with planted faults, for benchmarks/planted_faults.py: one a fault, each in 20 disjoint subsets.

    python benchmarks/planted_pools.py PROJECT CACHE [--seconds 540]

PROJECT is a folder with out/ and data/ of the default run; it is only read. A subset is one file in CACHE, so that the
command can be stopped and called again; it ends by itself when its seconds are over, and says what is still missing.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.bundle import Bundle, read_bundle
from ddpm_core.metrics.labels import asked_labels
from ddpm_core.spec import DataSpec
from pipelines.serving.sampler import Sampler
from pipelines.tools.shards import read_split

SUBSETS = 20
FULL, SMALL = 1027, 103  # as many as the test split has, and a tenth
FIRST_SEED = 1_000_000  # far from those of the default evaluation and of the training's pictures


@dataclass(frozen=True)
class Pool:
    """How a pool's pictures are made, and how many a subset has."""

    name: str
    size: int
    sampler: Callable[[Path, Path], Sampler]
    options: Callable[[Sampler], dict[str, Any]] = lambda sampler: {}

    def seed(self, subset: int) -> int:
        return FIRST_SEED + 10_000 * subset

    def file(self, cache: Path, subset: int) -> Path:
        return cache / f"{self.name}-{subset:02d}.npz"


def as_built(project: Path, cache: Path) -> Sampler:
    return Sampler(read_bundle(project / "out" / "bundle"), "cpu", 1)


def with_linear_schedule(project: Path, cache: Path) -> Sampler:
    """Sampled by the tables of the linear schedule, trained on those of the cosine."""
    from ddpm_core.diffusion.config import DiffusionConfig
    from pipelines.params import parse

    bundle = read_bundle(project / "out" / "bundle")
    linear = {
        "kind": "linear",
        "T": 1000,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "scale_ends": False,
        "zero_terminal_snr": False,
    }
    content = {
        "schedule": linear, "target": "v", "variance": "fixed_small", "weighting": {"kind": "simple"},
        "time_law": {"kind": "uniform", "stratified": True}, "vlb_weight": 0.001,
    }  # fmt: skip
    config: DiffusionConfig = parse(DiffusionConfig, content, "linear")
    return Sampler(replace(bundle, schedule=config.parameterisation().schedule), "cpu", 1)


def one_level_late(project: Path, cache: Path) -> Sampler:
    """The network is told t + 1 where the picture is at t."""
    sampler = as_built(project, cache)
    net = sampler._net

    class Late:
        device, threads = net.device, net.threads

        def __call__(self, x: Any, t: Any, label: Any) -> Any:
            return net(x, t + np.float32(1.0), label)

    sampler._net = Late()  # type: ignore[assignment]
    return sampler


class _Truncating(DataSpec):
    """Levels by cutting off instead of rounding to nearest."""

    def decode(self, x: Any) -> Any:
        low, high, top = self._ends()
        return np.clip(np.floor((np.asarray(x, dtype=np.float64) - low) * (top / (high - low))), 0, top).astype(
            np.uint8
        )


def truncating(project: Path, cache: Path) -> Sampler:
    bundle = read_bundle(project / "out" / "bundle")
    return Sampler(replace(bundle, spec=_Truncating(**vars(bundle.spec))), "cpu", 1)


def untrained(project: Path, cache: Path) -> Sampler:
    """The network as it is before its first update."""
    return Sampler(_exported(project, cache / "untrained", _fresh), "cpu", 1)


def raw_weights(project: Path, cache: Path) -> Sampler:
    """The raw weights of 60 more updates at the full rate, as an export without the average would ship."""
    return Sampler(_exported(project, cache / "raw", _sixty_updates), "cpu", 1)


def _exported(project: Path, folder: Path, change: Callable[[Path, Any], None]) -> Bundle:
    if not (folder / "bundle.json").is_file():
        from dataclasses import asdict

        from pipelines.params import load_params
        from pipelines.stages.export import export_weights, read_weights
        from pipelines.stages.train import weights_bytes

        params = load_params(Path("params.yaml"))
        net, about, _, _ = read_weights(project / "out" / "weights.safetensors")
        change(project, net)
        weights = folder.with_suffix(".safetensors")
        weights.write_bytes(weights_bytes(net, about))
        export_weights(weights, folder, params.export, asdict(params.sample), 1)
    return read_bundle(folder)


def _fresh(project: Path, net: Any) -> None:
    import torch

    torch.manual_seed(0)
    for module in net.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def _sixty_updates(project: Path, net: Any) -> None:
    import torch

    from ddpm_core.objective import LabelDropout, build_objective
    from ddpm_core.training.config import Constant
    from ddpm_core.training.trainer import Trainer
    from pipelines.params import load_params
    from pipelines.tools.batches import batch_source
    from pipelines.tools.shards import read_index

    params = load_params(Path("params.yaml"))
    config = replace(
        params.train, seed=7, steps=60, warmup_steps=1, lr_schedule=Constant(kind="constant"), checkpoint_every=1000
    )
    index = read_index(project / "data" / "shards")
    trainer = Trainer(
        net.requires_grad_(True).train(),
        build_objective(params.diffusion, index.spec, LabelDropout({"label": len(index.spec.classes)}, 0.1)),
        config,
        batch_source(config, index, project / "data" / "shards", True, 0),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    for _ in trainer.run():
        pass
    net.eval().requires_grad_(False)


def _unclipped(sampler: Sampler) -> dict[str, Any]:
    return {"sampler": replace(sampler.defaults.sampler, bound="none")}


def _quarter(sampler: Sampler) -> dict[str, Any]:
    return {"steps": max(1, sampler.defaults.sampler.steps // 4)}


POOLS = (
    Pool("late", SMALL, one_level_late),
    Pool("unclipped", SMALL, as_built, _unclipped),
    Pool("quarter", FULL, as_built, _quarter),
    Pool("linear", SMALL, with_linear_schedule),
    Pool("untrained", SMALL, untrained),
    Pool("raw", SMALL, raw_weights),
    Pool("healthy", FULL, as_built),
)


def missing(cache: Path) -> Iterator[tuple[Pool, int]]:
    return ((pool, k) for pool in POOLS for k in range(SUBSETS) if not pool.file(cache, k).is_file())


def fill(project: Path, cache: Path, seconds: float) -> None:
    """Sample the missing subsets until the time is over."""
    cache.mkdir(parents=True, exist_ok=True)
    test = read_split(project / "data" / "shards", "test").labels
    began, opened = time.monotonic(), {}
    for pool, k in list(missing(cache)):
        if time.monotonic() - began > seconds:
            break
        if pool.name not in opened:
            opened = {pool.name: pool.sampler(project, cache)}
        sampler = opened[pool.name]
        labels = asked_labels(test, pool.size, pool.seed(k))
        seeds = range(pool.seed(k), pool.seed(k) + pool.size)
        images = sampler.sample(labels.tolist(), list(seeds), batch_size=64, **pool.options(sampler))
        partial = pool.file(cache, k).with_suffix(".part.npz")
        np.savez_compressed(partial, images=images, labels=labels)
        partial.rename(pool.file(cache, k))
    left = list(missing(cache))
    print(f"{time.process_time():.0f} CPU s; {len(left)} of {SUBSETS * len(POOLS)} subsets are missing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--seconds", type=float, default=540.0)
    args = parser.parse_args()
    fill(args.project, args.cache, args.seconds)


if __name__ == "__main__":
    main()
