"""The Fréchet distance of 2,048-d features: ours against pytorch-fid, torchmetrics and torch-fidelity, in one process.

    .venv-peers/bin/python benchmarks/frechet.py --repeats 3

All sides start from means and covariances. `ours, cached` has the factor of the reference, which a reference keeps;
`ours, first` finds it. The features look like those of a network: positive, correlated, of a falling spectrum.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import common
import numpy as np
import torch
from numpy.typing import NDArray

from ddpm_core.metrics.frechet import Gaussian, distance, gaussian_of

AGREEMENT = 1e-9
BARS = {"pytorch-fid": 10.0, "torchmetrics": 2.5}


def features(n: int, dims: int, seed: int, scale: float) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(0).standard_normal((dims, dims)) / dims**0.5
    spectrum = np.geomspace(1.0, 1e-2, dims)
    rows: NDArray[np.float64] = np.abs((rng.standard_normal((n, dims)) * spectrum * scale) @ mix) + 0.2
    return rows


def sides(a: Gaussian, b: Gaussian) -> dict[str, Callable[[], float]]:
    """What each side is asked for, from the same moments."""
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import fid_statistics_to_metric
    from torchmetrics.image.fid import _compute_fid

    tensors = [torch.from_numpy(array) for array in (a.mean, a.cov, b.mean, b.cov)]
    statistics = [{"mu": side.mean, "sigma": side.cov} for side in (a, b)]
    return {
        "ours, cached": lambda: distance(a, b),
        "ours, first": lambda: distance(a, replace(b)),
        "torchmetrics": lambda: float(_compute_fid(*tensors)),
        "torch-fidelity": lambda: next(iter(fid_statistics_to_metric(*statistics, False).values())),
        "pytorch-fid": lambda: float(calculate_frechet_distance(a.mean, a.cov, b.mean, b.cov)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    for name in BARS:
        common.needs(name)
    torch.set_num_threads(int(common.os.environ["OMP_NUM_THREADS"]))
    print(common.machine("numpy", "scipy", "torch", *BARS, "torch-fidelity"))
    a, b = (gaussian_of(features(args.rows, args.dims, seed, scale)) for seed, scale in ((1, 1.0), (2, 1.2)))
    runs = sides(a, b)
    _found = b.factor  # before anything is timed
    values: dict[str, float] = {}

    def kept(name: str, run: Callable[[], float]) -> Callable[[], None]:
        def call() -> None:
            values[name] = run()

        return call

    times = common.interleaved({name: kept(name, run) for name, run in runs.items()}, args.repeats, warmups=0)
    best = times["ours, cached"].median_cpu
    rows = [
        [
            name,
            f"{t.median_cpu:.2f}",
            f"{t.median_wall:.2f}",
            f"{t.spread:.0%}",
            f"{t.median_cpu / best:.1f}",
            repr(values[name]),
        ]
        for name, t in times.items()
    ]
    print(common.table(["side", "CPU s", "wall s", "spread", "times ours", "distance"], rows))
    off = max(abs(value / values["ours, cached"] - 1) for value in values.values())
    print(f"largest relative difference {off:.1e} (allowed {AGREEMENT:g})")
    for name, bar in BARS.items():
        ratio = times[name].median_cpu / best
        print(f"{name}: {ratio:.1f} x ours, wanted {bar:g}: {'reached' if ratio >= bar else 'NOT reached'}")


if __name__ == "__main__":
    main()
