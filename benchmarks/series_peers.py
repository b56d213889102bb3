"""Forecasts beside gluonts' DeepAR, or imputation beside PyPOTS' CSDI: the same windows, the same CPU seconds.

    make install-peers-series
    .venv/bin/python benchmarks/series_peers.py --project projects/forecast --seconds 60 --as-params --seeds 0 1 2
    .venv/bin/python benchmarks/series_peers.py --project projects/impute --seconds 40 --windows 20 --each 10 --seeds 0

The project has the outputs of `ddpm run`. Ours trains as stage train does, as many steps as fit into the seconds, or,
with --as-params, no more than params.yaml says; the peer trains by its own code (series_peer_sides.py). They take
turns, seed by seed. Each answers the windows of the project's test, and both are judged by the project's own measures.
A ratio below 1 says that ours is better. Its interval is over the windows (blocks that are apart in time), with the
CRPS of a window averaged over the seeds.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray
from series_peer_sides import Answer

PEER = Path(__file__).with_name("series_peer_sides.py")
PROBED = 20  # updates that tell what one costs; the first half is not counted
SHOWN = ("crps", "coverage_50", "coverage_90", "mae_median", "dispersion")
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Test:
    """What is asked of a project's test, and what the answers are measured by."""

    params: Any
    spec: Any
    train: Any  # Split
    rows: NDArray[np.int64]
    cond: Mapping[str, NDArray[Any]]
    keys: list[str]
    real: Any  # RealSeries

    @classmethod
    def of(cls, project: Path, changes: Mapping[str, int]) -> "Test":
        """`changes` are of section evaluate."""
        from pipelines.evaluation.reference import read_reference
        from pipelines.kinds.series.evaluation.asked import asked_of, in_windows
        from pipelines.kinds.series.evaluation.measures import RealSeries
        from pipelines.kinds.series.reference.build import baselines
        from pipelines.kinds.series.reference.windows import Windows, blocks
        from pipelines.params import load_params
        from pipelines.paths import Paths
        from pipelines.shards.archive import Split, read_index, read_split, rows_of

        paths = Paths.of(project)
        params, reference = load_params(paths.params), read_reference(paths.reference)
        params = replace(params, evaluate=replace(params.evaluate, **changes))
        spec = read_index(paths.shards).spec
        train, test = (read_split(paths.shards, name) for name in ("train", "test"))
        asked = asked_of(test, spec, params.evaluate)
        each = params.evaluate.samples_each
        rows = in_windows(asked.rows, each)
        judged = Split(rows_of(test.arrays, rows), [test.keys[row] for row in rows])
        windows = Windows.of(judged, spec, {name: value[::each] for name, value in asked.cond.items()})
        errors = np.array(reference.content["seasonal_errors"])
        real = RealSeries(
            windows, blocks(judged.keys, spec), errors, baselines(reference, Windows.of(train, spec), spec), spec,
            params.evaluate,
        )  # fmt: skip
        return cls(params, spec, train, rows, asked.cond, judged.keys, real)

    @property
    def task(self) -> str:
        return str(self.spec.about["task"])

    def for_peer(self) -> dict[str, Any]:
        """What a peer is given: all that our training sees, and what is told of each window."""
        from pipelines.kinds.series.reference.windows import Windows

        train, told = Windows.of(self.train, self.spec), self.real.windows.told
        if self.task == "impute":
            return {"train": train.whole.astype(np.float32), "test": told.astype(np.float32)}
        history = told.shape[2] - self.real.windows.steps
        start, series = _joined(train.whole, self.train.keys, self.spec)
        return {
            "start": str(start),
            "series": series.astype(np.float32),
            "frequency": self.spec.about["frequency"],
            "horizon": self.real.windows.steps,
            "lags": np.array(self.params.model.lags),
            "test_starts": np.array([str(_begin(key)) for key in self.keys]),
            "test_histories": told[:, :, :history].astype(np.float32),
        }

    def measures(self, samples: Floats) -> dict[str, float]:
        return {
            metric.name: float(metric.value)
            for metric in self.real.measures(self.real.ensemble(samples))
            if metric.value is not None
        }

    def crps(self, samples: Floats) -> Any:
        from ddpm_core.metrics.crps import mean_crps

        return mean_crps(self.real.ensemble(samples))


def _begin(key: str) -> np.datetime64:
    text = key.partition("-")[0]
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}", "m")


def _joined(windows: Floats, keys: list[str], spec: Any) -> tuple[np.datetime64, Floats]:
    """Windows of one series, joined where they overlap: its first time, and its values [columns, times]."""
    from pipelines.kinds.series.rows.frequency import Frequency

    starts = np.array([_begin(key) for key in keys]).astype("datetime64[s]")
    steps, _, _ = Frequency.of(spec.about["frequency"]).steps(starts)
    places = steps - steps.min()
    series = np.full((windows.shape[1], int(places.max()) + windows.shape[2]), np.nan)
    for place, window in zip(places, windows, strict=True):
        part = series[:, place : place + windows.shape[2]]
        part[:] = np.where(np.isnan(window), part, window)
    return starts.min().astype("datetime64[m]"), series


def ours(test: Test, project: Path, work: Path, seconds: float, most: int | None, seed: int) -> Answer:
    import torch
    from quality_sides import Ours

    from ddpm_core.tensors.sampling import sample

    def side(steps: int, name: str) -> Ours:
        (work / name).mkdir()
        changes = {"train": {"seed": seed, "steps": steps, "warmup_steps": steps // 10}}
        return Ours(project, work / name, changes)

    probe, each = side(10 * PROBED, "probe"), []
    for _ in range(PROBED):
        began = time.process_time()
        probe.step()
        each.append(time.process_time() - began)
    fitting = round(seconds / float(np.mean(each[PROBED // 2 :])))
    its = side(fitting if most is None else min(fitting, most), "ours")
    began = time.process_time()
    while not its.ended:
        its.step()
    spent = time.process_time() - began
    config = test.params.sample
    plan = config.sampler.plan(its.parameterisation.schedule, test.params.diffusion.variance)
    n, at_once, drawn = len(next(iter(test.cond.values()))), 500, []
    began = time.process_time()
    for first in range(0, n, at_once):
        last = min(n, first + at_once)
        drawn.append(
            sample(
                its.average, plan, its.parameterisation, test.spec, seeds=range(first, last),
                cond={name: value[first:last] for name, value in test.cond.items()}, guidance=0.0,
                device=torch.device("cpu"), dtype=torch.float32,
            )
        )  # fmt: skip
    sampling = time.process_time() - began
    samples = np.concatenate(drawn).astype(np.float64)
    return Answer(samples.reshape(len(test.rows), -1, *samples.shape[1:]), spent, sampling, its.updates)


def peer(test: Test, python: Path, work: Path, seconds: float, seed: int) -> Answer:
    name = {"forecast": "deepar", "impute": "csdi"}[test.task]
    np.savez(work / "windows.npz", **test.for_peer())
    command = [str(python), str(PEER), name, str(work / "windows.npz"), str(work / "samples.npz")]
    command += ["--seconds", str(seconds), "--seed", str(seed), "--each", str(test.params.evaluate.samples_each)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-4000:]}")
    with np.load(work / "samples.npz") as file:
        numbers = float(file["training"]), float(file["sampling"]), int(file["updates"])
        return Answer(file["samples"].astype(np.float64), *numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="CPU seconds of training of each side")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--windows", type=int, help="judged, of each side; by default as section evaluate says")
    parser.add_argument("--each", type=int, help="samples of each window; by default as section evaluate says")
    parser.add_argument("--peer-python", type=Path, default=Path(".venv-peers-series/bin/python"))
    parser.add_argument("--as-params", action="store_true", help="ours makes no more updates than train.steps")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    given = {"n": args.windows, "samples_each": args.each}
    test = Test.of(args.project, {name: value for name, value in given.items() if value is not None})
    most = test.params.train.steps if args.as_params else None
    ratios: dict[str, list[Any]] = {"ours": [], "peer": []}
    rows = []
    for seed in args.seeds:
        for name in ("ours", "peer"):
            with tempfile.TemporaryDirectory() as place:
                if name == "ours":
                    its = ours(test, args.project, Path(place), args.seconds, most, seed)
                else:
                    its = peer(test, args.peer_python.absolute(), Path(place), args.seconds, seed)
            found = test.measures(its.samples)
            ratios[name].append(test.crps(its.samples))
            taken = [f"{its.training:.0f}", str(its.updates), f"{its.sampling:.0f}"]
            rows.append([name, str(seed), *taken, *(f"{found.get(k, np.nan):.4f}" for k in SHOWN)])
            print(rows[-1], flush=True)
        print(compared(test, ratios), flush=True)  # of the seeds so far
    print(common.machine("torch", "numpy"))
    print(common.table(["side", "seed", "training, CPU s", "updates", "samples, CPU s", *SHOWN], rows))


def compared(test: Test, ratios: Mapping[str, list[Any]]) -> str:
    """Of each seed and of all: our CRPS over the peer's."""
    from ddpm_core.metrics.ensemble import Ratio
    from ddpm_core.metrics.metric import Metric

    each = [a.value / b.value for a, b in zip(ratios["ours"], ratios["peer"], strict=True)]
    mine, its = (np.mean([ratio.over for ratio in ratios[name]], axis=0) for name in ("ours", "peer"))
    whole = test.real.weighings.measured(Metric("ratio", "ours over the peer's"), Ratio(mine, its))
    low, high = whole.interval.low, whole.interval.high
    of_seeds = ", ".join(f"{value:.3f}" for value in each)
    return f"CRPS, ours over the peer's: {whole.value:.3f} ({low:.3f} to {high:.3f}); by seed {of_seeds}"


if __name__ == "__main__":
    main()
