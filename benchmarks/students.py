"""Students of a project's model beside it: several seeds of each method, on seeds that chose nothing, as a table.

    python benchmarks/students.py --project . --out students      # again until it says that all rows are there

It trains and measures as `ddpm distil` does, but judges with seeds from --judge-seed on: the default levels of
`guidance` were chosen on those of `evaluate.seed`. Bits per dimension, which no rule uses, are left out. A row is
written when it is done.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import common  # one thread, before numpy and torch
import rows as results

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.paths import Paths

TEACHER = "teacher"
KINDS: dict[str, tuple[str, str | None]] = {
    "guidance": ("guidance", None),
    "trajectories of 2": ("trajectories", "1000,500,0"),
    "trajectories of 1": ("trajectories", "1000,0"),
}
MEASURES = {
    "fcd_ratio_train": "ratio to training",
    "fcd_ratio_test": "to unseen",
    "energy_classifier": "e",
    "lost_classifier": "lost regions",
    "rough_share": "rough",
    "accuracy_asked": "called as asked",
    "fcd_diversity_class_min": "least diversity",
    "fcd_recall": "recall",
}
PAIRED = ("energy_classifier", "fcd_ratio_test")
COLUMNS = (
    "kind", "seed", "judge_seed", "evaluations", "cpu_s",
    *MEASURES, *(f"{name}_{end}" for name in PAIRED for end in ("low", "high")),
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """A project whose model is the teacher; what is made lies in `out`."""

    params: "Params"
    paths: "Paths"
    out: Path

    @classmethod
    def of(cls, project: Path, out: Path, judge_seed: int) -> "Bench":
        from pipelines.params import load_params
        from pipelines.paths import Paths

        params = load_params(project / "params.yaml")
        judged = replace(params.evaluate, seed=judge_seed, bits_images=0, steps=None, guidance=None)
        runtime = replace(params.runtime, device="cpu", threads=1, sampling_processes=1)
        return cls(replace(params, evaluate=judged, runtime=runtime), Paths(project, project / ".ddpm"), out)

    def teacher(self) -> dict[str, Any]:
        """The teacher's row."""
        return self._row(TEACHER, self.paths.bundle, self.out / TEACHER)

    def student(self, kind: str, seed: int) -> dict[str, Any]:
        """Train a student and measure it; its row."""
        from ddpm_core.bundle.format import read_bundle
        from pipelines.commands import distil

        method, levels = KINDS[kind]
        folder = self.out / f"{kind.replace(' ', '-')}-{seed}"
        words = ["--teacher", str(self.paths.bundle), "--out", str(folder), "--method", method, "--seed", str(seed)]
        parser = argparse.ArgumentParser()
        distil.add_to(parser.add_subparsers())
        args = parser.parse_args(["distil", *words, *(["--levels", levels] if levels else [])])
        asked = distil.asked_of(args, self.paths)
        ours = distil.student_params(self.params, read_bundle(asked.teacher), asked)
        _, seconds = distil.trained(ours, self.paths, folder / "bundle", quiet=True)
        return {"seed": seed, "cpu_s": seconds, **self._row(kind, folder / "bundle", folder)}

    def _row(self, kind: str, bundle: Path, folder: Path) -> dict[str, Any]:
        from pipelines.report.compared import read_run
        from pipelines.sampling.bundle_sampler import Sampler
        from pipelines.stages.evaluate import measure_bundle

        measure_bundle(self.params, self.paths, bundle, folder, panels=False)
        mine, its = (read_run(each.name, each, each / "samples").measured for each in (folder, self.out / TEACHER))
        ends = {name: mine.difference(name, its) for name in PAIRED}
        return {
            "kind": kind,
            "judge_seed": self.params.evaluate.seed,
            "evaluations": Sampler.open(bundle, "cpu").recipe().cost(1),
            **{name: mine.metrics[name] for name in MEASURES},
            **{f"{name}_low": found.low for name, found in ends.items()},
            **{f"{name}_high": found.high for name, found in ends.items()},
        }


def table(rows: Sequence[dict[str, str]]) -> str:
    """A row a student, and the mean of each kind's seeds; differences from the teacher with their paired intervals."""
    base = next(row for row in rows if row["kind"] == TEACHER)
    lines = [_cells(TEACHER, base, base)]
    for kind in KINDS:
        its = [row for row in rows if row["kind"] == kind]
        lines += [_cells(f"{kind}, seed {row['seed']}", row, base) for row in its]
        if len(its) > 1:
            numbers = {name: str(mean(float(row[name]) for row in its)) for name in ("cpu_s", *MEASURES)}
            lines.append(_cells(f"{kind}, mean", {**numbers, "evaluations": its[0]["evaluations"]}, base))
    head = ["", "evaluations", "CPU s", *MEASURES.values(), *(f"{MEASURES[name]}, difference" for name in PAIRED)]
    return common.table(head, lines)


def _cells(name: str, row: dict[str, str], base: dict[str, str]) -> list[str]:
    seconds = f"{float(row['cpu_s']):.0f}" if row["cpu_s"] else ""
    shown = (f"{float(row[each]):.3g}" for each in MEASURES)
    return [name, row["evaluations"], seconds, *shown, *_differences(row, base)]


def _differences(row: dict[str, str], base: dict[str, str]) -> Iterator[str]:
    for name in PAIRED:
        if row is base:
            yield ""
            continue
        ends = f" ({float(row[f'{name}_low']):.2g} to {float(row[f'{name}_high']):.2g})" if f"{name}_low" in row else ""
        yield f"{float(row[name]) - float(base[name]):.2g}{ends}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--out", type=Path, required=True, help="for the students, their measurements and rows.csv")
    parser.add_argument("--seeds", type=int, default=3, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--judge-seed", type=int, default=20_000)
    args = parser.parse_args()
    bench = Bench.of(args.project.resolve(), args.out.resolve(), args.judge_seed)
    file = args.out / "rows.csv"
    args.out.mkdir(parents=True, exist_ok=True)
    jobs = [(TEACHER, ""), *((kind, str(seed)) for seed in range(args.seeds) for kind in args.kinds)]
    for kind, seed in jobs:
        if (kind, seed) not in {(row["kind"], row["seed"]) for row in results.read(file)}:
            row = bench.teacher() if kind == TEACHER else bench.student(kind, int(seed))
            results.append(file, COLUMNS, dict.fromkeys(COLUMNS, "") | row)
            print(kind, seed, "is done", file=sys.stderr, flush=True)
    print(table(results.read(file)), common.machine("torch", "onnxruntime"), sep="\n\n")


if __name__ == "__main__":
    main()
