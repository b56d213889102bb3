"""Quality against network evaluations for every sampler, through an exported bundle: a CSV, and a plot of it.

    python benchmarks/sampler_quality.py --project . --seconds 500     # again until it says that all rows are there

It samples as `ddpm evaluate` does (same labels, seeds, guidance and onnxruntime) and measures with the same functions.
A row is written when it is done, so a run that was ended goes on where it stood.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rows as results

from ddpm_core.samplers.config import named
from ddpm_core.spec import conditions_of
from pipelines.report.parts.chart import Line, Panel, chart
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.recipe import Recipe

HERE = Path(__file__).parent
COLUMNS = (
    "bundle", "n", "seed", "sampler", "steps", "evaluations",
    "fcd_train", "fcd_test", "ratio_train", "ratio_test", "accuracy_asked",
)  # fmt: skip
# Rows of these are equal: at eta 0 DDIM, Euler and DPM-Solver++ of first order are one method (a test says so).
SAME = {"ddim": "ddim = euler = dpmpp_1"}
SAMPLERS = ("dpmpp_2m", "unipc_2", "dpmpp_3m", "dpmpp_2s", "ddim", "heun", "ancestral", "predictor_corrector")
EVALUATIONS = (5, 8, 12, 16, 25, 50)


@dataclass(frozen=True)
class Point:
    """A sampler at so many steps, which come to `cost` evaluations a picture."""

    kind: str
    steps: int
    cost: int
    recipe: Recipe


def points(sampler: Sampler, kinds: Sequence[str], evaluations: Sequence[int]) -> Iterator[Point]:
    """For each number of evaluations the most steps of every sampler that stay within it."""
    seen = set()
    for most in evaluations:
        for kind in kinds:
            point = most_steps(sampler, kind, most)
            if point is not None and (kind, point.steps) not in seen:
                seen.add((kind, point.steps))
                yield point


def most_steps(sampler: Sampler, kind: str, most: int) -> Point | None:
    found = None
    for steps in range(1, min(most, sampler.bundle.schedule.T) + 1):
        recipe = sampler.recipe(named(kind, steps, sampler.defaults.sampler))
        if recipe.cost(1) <= most:
            found = Point(kind, steps, recipe.cost(1), recipe)
    return found


class Judge:
    """The Fréchet distances and floors of stage evaluate, in its features, for n pictures.

    Floors are of real digits of the labels asked, or of any label where some of those judged know no labels.
    """

    def __init__(self, project: Path, n: int | None, seed: int, *, any_label: bool = False) -> None:
        import torch

        from ddpm_core.metrics.labels import asked_labels
        from pipelines.evaluation.reference import read_reference
        from pipelines.kinds.pictures.reference.extractors import CLASSIFIER_NAME, classifier_extractor, open_extractors
        from pipelines.kinds.pictures.reference.images import ImageSplit
        from pipelines.kinds.pictures.reference.store import real_features
        from pipelines.params import load_params
        from pipelines.paths import Paths
        from pipelines.shards.archive import read_index, read_split

        torch.set_num_threads(1)
        paths = Paths.of(project)
        self._spec, reference = read_index(paths.shards).spec, read_reference(paths.reference)
        facts, self._device = reference.content, torch.device("cpu")
        self._draws = load_params(paths.params).evaluate.floor_draws
        used, side = facts["classifier"]["used"], facts["efficientnet_side"]
        self._classifier = classifier_extractor(reference.files[CLASSIFIER_NAME], self._spec, self._device)
        self._extractor = (
            self._classifier if used else open_extractors(reference.files, used, side, self._spec, self._device)[-1]
        )
        self._real, _ = real_features(reference, self._extractor.name)
        test = ImageSplit.of(read_split(paths.shards, "test"), self._spec)
        self.n = len(test.images) if n is None else n
        self.labels = asked_labels(test.labels, self.n, seed)
        self._of_floors = np.full(self.n, -1) if any_label else self.labels

    def measures(self, images: Any) -> dict[str, float]:
        from ddpm_core.metrics.frechet import distance, gaussian_of, subset_floor
        from pipelines.kinds.pictures.reference.extractor import extract

        real, like = self._real, self._of_floors
        made = gaussian_of(self._seen(images))
        train, test = real.train, gaussian_of(real.test_rows)
        to_train, to_test = distance(made, train), distance(made, test)
        called = extract(self._classifier, images, 256, self._device, "labels").logits.argmax(axis=1)
        return {
            "fcd_train": to_train,
            "fcd_test": to_test,
            "ratio_train": to_train / subset_floor(real.test_rows, real.test_labels, like, train, self._draws, 0),
            "ratio_test": to_test / subset_floor(real.train_rows, real.train_labels, like, test, self._draws, 0),
            "accuracy_asked": float((called == self.labels).mean()),
        }

    def diversity(self, images: Any) -> np.ndarray:
        """Of each class how far apart samples lie, 1 = as two unseen digits of it. [classes]"""
        from ddpm_core.metrics.coverage import diversity

        classes = len(self._spec.classes)
        real = diversity(self._real.test_rows, self._real.test_labels, classes)
        return np.asarray(diversity(self._seen(images), self.labels, classes) / real)

    def _seen(self, images: Any) -> np.ndarray:
        from pipelines.kinds.pictures.reference.extractor import extract

        return extract(self._extractor, images, 256, self._device, "features").features


def measure_all(args: argparse.Namespace) -> bool:
    """Add the rows that are missing, as long as there is time; whether all are there."""
    start = time.monotonic()
    sampler = Sampler.open(args.project / "out" / "bundle", "cpu", threads=1)
    judge = Judge(args.project, args.n, args.seed)
    name = sampler.bundle.digest[:16]
    done = {(row["bundle"], row["n"], row["seed"], row["sampler"], row["steps"]) for row in results.read(args.csv)}
    pace = 0.004  # seconds an evaluation, until the first row was timed
    for point in points(sampler, args.samplers, args.evaluations):
        key = (name, str(judge.n), str(args.seed), point.kind, str(point.steps))
        if key in done:
            continue
        if time.monotonic() - start + pace * point.cost * judge.n > args.seconds:
            return False
        began = time.monotonic()
        images = sampler.sample(
            point.recipe,
            range(args.seed, args.seed + judge.n),
            conditions_of(sampler.bundle.spec, judge.labels),
            batch_size=64,
        )
        pace = (time.monotonic() - began) / (point.cost * judge.n)
        found = judge.measures(images)
        results.append(args.csv, COLUMNS, dict(zip(COLUMNS, (*key, point.cost), strict=False)) | found)
        print(
            f"{point.kind:<20} {point.steps:>4} steps {point.cost:>4} evaluations  train {found['ratio_train']:.3f}  "
            f"test {found['ratio_test']:.3f}  asked {found['accuracy_asked']:.4f}  {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return True


def table(rows: list[dict[str, str]]) -> str:
    """For a page: of each sampler the row with the most evaluations within each number, as train / unseen (steps)."""
    lines = [f"| sampler | {' | '.join(map(str, EVALUATIONS))} |", "|---" * (len(EVALUATIONS) + 1) + "|"]
    for kind in SAMPLERS:
        own = sorted((row for row in rows if row["sampler"] == kind), key=lambda row: int(row["evaluations"]))
        cells = []
        for most in EVALUATIONS:
            best = [row for row in own if int(row["evaluations"]) <= most][-1:]
            cells += [f"{float(r['ratio_train']):.2f} / {float(r['ratio_test']):.2f} ({r['steps']})" for r in best] or [
                ""
            ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, str]]) -> bytes:
    """Distances as multiples of what real digits score, over evaluations."""
    panels = []
    for column, title, limits in (
        ("ratio_train", "distance to the training digits", (0.6, 16.0)),
        ("ratio_test", "to unseen digits", (0.7, 100.0)),
    ):
        lines = []
        for kind in SAMPLERS:
            own = sorted((int(row["evaluations"]), float(row[column])) for row in rows if row["sampler"] == kind)
            if own:
                lines.append(Line(SAME.get(kind, kind), [x for x, _ in own], [y for _, y in own]))
        panels.append(
            Panel(
                title,
                "network evaluations a picture",
                "fcd, as a multiple of what real digits score",
                lines,
                levels=[("as many real digits", 1.0)],
                x_ticks=EVALUATIONS,
                y_ticks=(1, 2, 3, 5, 10, 20, 50),
                y_limits=limits,
            )
        )
    return chart(panels)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="with out/bundle, out/reference and data/shards")
    parser.add_argument("--n", type=int, help="pictures a row (as many as the test split has)")
    parser.add_argument("--seed", type=int, default=0, help="of pictures and labels; plot and table are of one seed")
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS)
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin no row that would end later")
    parser.add_argument("--csv", type=Path, default=HERE / "sampler_quality.csv")
    parser.add_argument("--png", type=Path, default=HERE.parent / "docs" / "images" / "sampler-quality.png")
    args = parser.parse_args()
    complete = measure_all(args)
    rows = [row for row in results.read(args.csv) if row["seed"] == str(args.seed)]
    args.png.write_bytes(plot(rows))
    print(table(rows))
    print("all rows are there" if complete else "more rows to come: run it again")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
