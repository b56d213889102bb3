"""What out/samples holds for the report beside the grids: fewer and more steps, the way to a picture, the levels.

No verdict and no comparison of two models looks at any of it.
"""

import csv
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import ParamsError
from ddpm_core.files import json_bytes
from ddpm_core.metrics.config import PictureEvaluateConfig
from ddpm_core.metrics.data import FeatureView
from ddpm_core.metrics.intervals import Resampling
from ddpm_core.metrics.labels import even_part
from ddpm_core.metrics.pixels import level_shares
from ddpm_core.metrics.regions import lost_regions as regions_lost
from ddpm_core.metrics.roughness import roughness
from ddpm_core.spec import labels_in
from pipelines.kinds.pictures.reference.extractor import Features
from pipelines.kinds.pictures.reference.images import ImageSplit
from pipelines.kinds.pictures.rows.decode import grid, shown

if TYPE_CHECKING:
    from ddpm_core.likelihood.nll_tables import TermOfLevel
    from pipelines.evaluation.evaluation import Evaluation
    from pipelines.sampling.bundle_sampler import Sampler
    from pipelines.sampling.recipe import Recipe

log = logging.getLogger(__name__)

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

BY_STEPS = ("steps", "evaluations", "images", "own", "judge", "energy", "low", "high", "accuracy")
BOUND = ("t", "bits_per_dim", "standard_error", "pictures")
LEVELS = ("level", "samples", "unseen")
_MOMENTS = 15  # of a trajectory that are shown
_REGIONS_SHOWN = 3


@dataclass(frozen=True, eq=False)
class SampleSet:
    """The samples that were measured, and how they were made."""

    sampler: "Sampler"
    recipe: "Recipe"
    images: Images
    labels: Labels  # -1 where none was asked for
    seeds: Labels
    cond: Mapping[str, NDArray[Any]]  # what the network was told of each

    @classmethod
    def of(cls, of: "Evaluation") -> "SampleSet":
        labels = labels_in(of.sampler.bundle.spec, of.cond, len(of.x))
        return cls(of.sampler, of.recipe, of.x, labels, of.seeds, of.cond)

    def only(self, rows: NDArray[np.int64]) -> "SampleSet":
        cond = {name: values[rows] for name, values in self.cond.items()}
        return SampleSet(self.sampler, self.recipe, self.images[rows], self.labels[rows], self.seeds[rows], cond)

    def shown(self, images: Images) -> Images:
        """Pictures like these as a person sees them."""
        return shown(images, self.sampler.bundle.spec)

    def each_class_first(self, count: int) -> NDArray[np.int64]:
        """The first sample of each class, then the second of each, and so on: not chosen."""
        before = np.array([np.count_nonzero(self.labels[:i] == label) for i, label in enumerate(self.labels)])
        return np.lexsort((self.labels, before))[:count]

    def again(self, recipe: "Recipe", batch_size: int, **options: Any) -> Images:
        """The same seeds and conditions by another recipe."""
        return self.sampler.sample(recipe, self.seeds.tolist(), self.cond, batch_size=batch_size, **options)


@dataclass(frozen=True, eq=False)
class Probe:
    """One extractor: samples and real images in its features, and how it looks at pictures (called so for a person)."""

    view: FeatureView
    see: Callable[[Images, str], Features]

    @property
    def name(self) -> str:
        return self.view.judge.name


def panel_files(
    made: SampleSet,
    unseen: ImageSplit,
    terms: Sequence["TermOfLevel"],
    probes: Sequence[Probe],
    config: PictureEvaluateConfig,
) -> dict[str, bytes]:
    """All of them, by name."""
    top = made.sampler.bundle.spec.top
    return {
        **by_steps(made, probes, config),
        **lost_regions(made.shown(unseen.images), probes, config.grid_columns, _scale(made)),
        "roughness.png": roughest(made.shown(made.images), top, config.grid_columns, _scale(made)),
        **trajectories(made, config),
        **levels(made.images, unseen.images, top),
        **bound_terms(terms),
    }


def by_steps(made: SampleSet, probes: Sequence[Probe], config: PictureEvaluateConfig) -> dict[str, bytes]:
    """A row of samples for each number of steps, and by_steps.csv: how far they are from the data, at what cost.

    The energy distance is the verdict's, of fewer samples, which its mean does not depend on.
    """
    if not config.panels.steps:
        return {}
    few = made.only(even_part(made.labels, min(config.panels.images, len(made.images))))
    how = Resampling(config.resamples, config.seed, config.confidence)
    first, scale = few.each_class_first(config.grid_columns), _scale(made)
    files, rows = {}, []
    for steps, recipe, images in _each_number_of_steps(few, config):
        files[f"steps_{steps}.png"] = grid(made.shown(images[first]), len(first), scale)
        cost: list[Any] = [steps, recipe.cost(1), len(images), int(recipe is made.recipe)]
        for probe in probes:
            seen = probe.see(images, f"{steps} steps")
            numbers = probe.view.judge.energy(seen.features, few.labels, how).flat(config.confidence)
            energy, low, high, _ = numbers.values()
            rows.append([*cost, probe.name, energy, low, high, _right_labels(probe.name, seen, few.labels)])
    files["by_steps.csv"] = _csv(BY_STEPS, rows)
    return files


def lost_regions(unseen: Images, probes: Sequence[Probe], columns: int, scale: int) -> dict[str, bytes]:
    """lost_JUDGE.png: unseen pictures of the fullest regions that the samples have lost, a row a region."""
    files = {}
    for probe in probes:
        judge = probe.view.judge
        regions = regions_lost(probe.view.rows, judge.real.test_rows, judge.regions)
        rows = [row[:columns] for row in regions[:_REGIONS_SHOWN]]
        if rows:
            canvas = np.zeros((len(rows) * columns, *unseen.shape[1:]), dtype=np.uint8)
            for row, places in enumerate(rows):
                canvas[row * columns : row * columns + len(places)] = unseen[places]
            files[f"lost_{probe.name}.png"] = grid(canvas, columns, scale)
    return files


def roughest(images: Images, top: int, columns: int, scale: int) -> bytes:
    """The roughest samples above the smoothest ones."""
    order = np.argsort(roughness(images, top), kind="stable")
    count = min(columns, len(images))
    return grid(images[np.concatenate([order[::-1][:count], order[:count]])], count, scale)


def _each_number_of_steps(few: SampleSet, config: PictureEvaluateConfig) -> Iterator[tuple[int, "Recipe", Images]]:
    """Rising; at the bundle's own number the samples are at hand. What the sampler cannot do is left out."""
    own = few.recipe.sampler.steps
    for steps in sorted({*config.panels.steps, own}):
        if steps == own:
            yield steps, few.recipe, few.images
            continue
        try:
            recipe = few.sampler.recipe(few.recipe.sampler, steps, few.recipe.guidance)
        except ParamsError as error:
            log.warning("evaluate.panels.steps: %d was left out: %s", steps, error)
            continue
        yield steps, recipe, few.again(recipe, config.batch_size)


def _right_labels(extractor: str, seen: Features, asked: Labels) -> float | str:
    """The share that the classifier calls by the label asked for; nothing where there is no such answer."""
    if extractor != "classifier" or (asked < 0).any():
        return ""
    return float((seen.logits.argmax(axis=1) == asked).mean())


def trajectories(made: SampleSet, config: PictureEvaluateConfig) -> dict[str, bytes]:
    """Some samples on their way, from left to right: above x_t, below it the x0_hat that the network sees in it."""
    count = config.panels.trajectories
    if count == 0:
        return {}
    few = made.only(made.each_class_first(count))
    plan, schedule = made.recipe.plan, made.sampler.bundle.schedule
    landed = plan.s  # the level at which a row ends
    spread = np.maximum(np.hypot(schedule.a[landed], schedule.g[landed]), 1.0)
    rows = np.unique(np.linspace(0, len(plan) - 1, min(_MOMENTS, len(plan))).round().astype(np.int64))
    spec, moments = made.sampler.bundle.spec, []

    def watch(number: int, x: Any, x0_hat: Any) -> None:
        if number in rows:
            moments.append((spec.decode(x / spread[number].astype(np.float32)), spec.decode(x0_hat)))

    few.again(made.recipe, len(few.images), watch=watch)
    # [moments, 2, images, ...] -> a line of moments for each image's x_t, one for its x0_hat
    lines = np.array(moments, dtype=np.uint8).transpose(2, 1, 0, 3, 4, 5).reshape(-1, *spec.shape)
    about = {
        "rows": (rows + 1).tolist(),
        "levels": np.asarray(landed)[rows].tolist(),
        "of": len(plan),
        "T": schedule.T,
        "seeds": few.seeds.tolist(),
        "labels": few.labels.tolist(),
    }
    return {"trajectory.png": grid(made.shown(lines), len(rows), _scale(made)), "trajectory.json": json_bytes(about)}


def levels(images: Images, unseen: Images, top: int) -> dict[str, bytes]:
    """levels.csv: which share of all values each level has, in samples and in unseen pictures."""
    sides = [level_shares(side, top) for side in (images, unseen)]
    return {
        "levels.csv": _csv(
            LEVELS, [[level, float(mine), float(its)] for level, (mine, its) in enumerate(zip(*sides, strict=True))]
        )
    }


def bound_terms(terms: Sequence["TermOfLevel"]) -> dict[str, bytes]:
    """bound.csv: the terms of the bound on held-out pictures, a row a level that was drawn."""
    if not terms:
        return {}
    rows = [[term.t, term.bits.mean, _known(term.bits.standard_error), term.data] for term in terms]
    return {"bound.csv": _csv(BOUND, rows)}


def _known(value: float | None) -> float | str:
    return "" if value is None else value


def _scale(made: SampleSet) -> int:
    return max(1, 56 // max(made.sampler.bundle.spec.shape[1:]))


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Numbers to nine digits, which no order of summation reaches."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{cell:.9g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue().encode()
