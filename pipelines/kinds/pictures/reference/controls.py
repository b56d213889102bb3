"""The controls of the gate (ddpm_core/metrics/controls.py) on the data in hand: their pictures, features and scores.

Stage reference makes the pictures and their features, once for these data; stage evaluate scores them by the code that
scores the model. The verdict then says which of them the rules refuse.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.config import PictureEvaluateConfig
from ddpm_core.metrics.controls import CONTROLS, Control, mixed, picks
from ddpm_core.metrics.distances import ratio_metric
from ddpm_core.metrics.frechet import distance_of_rows, gaussian_of, subset_floor
from ddpm_core.metrics.intervals import Resampling
from ddpm_core.metrics.labels import even_order, rows_like
from ddpm_core.metrics.likeness import Judge
from ddpm_core.metrics.memorisation import Nearest, count_copies, nearest
from ddpm_core.metrics.metric import Metric, flat
from ddpm_core.metrics.pixels import CONSTANT, DUPLICATE, constant_share, duplicate_share
from ddpm_core.metrics.roughness import Grain
from pipelines.kinds.pictures.reference.extractor import Features as Looked
from pipelines.kinds.pictures.reference.images import ImageSplit

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Features = NDArray[np.float32]

_SEED = 0
_COPIES_SEARCHED = 64


def control_rows(kept: Rows, train_labels: Rows, test_labels: Rows, n: int) -> Rows:
    """The training pictures that controls change: n of those kept, in the shares that labels have in the test split."""
    n = min(n, len(kept))
    asked = np.resize(test_labels[even_order(test_labels)], n)
    pick = rows_like(asked, train_labels[kept], np.random.Generator(np.random.Philox(key=[_SEED, n])))
    return np.asarray(kept[pick])


def changed_by(control: Control) -> str:
    """The control whose changed pictures this one shows: a mixed one shows those of the first that changes alike."""
    return next(each.name for each in CONTROLS if each.corrupt is control.corrupt)


def changed_pictures(name: str, images: Images, top: int) -> Images:
    """What the control of this name makes of pictures."""
    nth, control = next((nth, each) for nth, each in enumerate(CONTROLS) if each.name == name)
    if control.corrupt is None:
        raise ValueError(f"the control {name!r} picks pictures and changes none")
    return control.corrupt(images, top, np.random.Generator(np.random.Philox(key=[_SEED, nth])))


def changed_features(images: Images, top: int, see: Callable[[Images, str], Looked]) -> dict[str, Features]:
    """Features of what each control makes of these pictures; where they all come out the same, of one."""
    found: dict[str, Features] = {}
    for name in dict.fromkeys(changed_by(control) for control in CONTROLS if control.corrupt is not None):
        pictures = changed_pictures(name, images, top)
        alike = bool((pictures == pictures[:1]).all())
        found[name] = see(pictures[:1] if alike else pictures, name).features
    return found


@dataclass(frozen=True, eq=False)
class ControlFeatures:
    """A judge, and what its extractor made of the controls: training rows by picture, and changed pictures."""

    judge: Judge
    index: Rows  # which training pictures the judge's training rows are, rising
    changed: Mapping[str, Features]
    distance: str | None  # the name of the Fréchet distance taken in these features, if one is

    def rows(self, pictures: Rows) -> Features:
        return self.judge.real.train_rows[np.searchsorted(self.index, pictures)]


def score_controls(
    seen: Sequence[ControlFeatures],
    train: ImageSplit,
    test: ImageSplit,
    base: Rows,
    unseen: Nearest,
    grain: Grain,
    settings: PictureEvaluateConfig,
    labels: bool,
) -> dict[str, dict[str, Any]]:
    """For the record: every control that these data allow, with what the gate's rules look at.

    `base` are the pictures that are changed, `unseen` the nearest training pictures of unseen ones, `labels` whether
    the model takes them.
    """
    how = Resampling(settings.resamples, settings.seed, settings.confidence)
    common = min((each.index for each in seen), key=len)
    regions = seen[0].judge.regions.of(seen[0].rows(common))[0]
    shown = picks(train.labels[common], regions, len(base), _SEED)
    asked = train.labels[base] if labels else np.full(len(base), -1)
    heldout = (
        Metric("n_heldout", "", value=len(test.images)),
        Metric(CONSTANT.floor, "", value=constant_share(test.images)),
        Metric(DUPLICATE.floor, "", value=duplicate_share(test.images)),
    )
    floors = {each.distance: _floor(each, asked, settings) for each in seen if each.distance is not None}
    scored = {}
    for control in CONTROLS:
        if control.corrupt is None and control.name not in shown:
            continue
        if control.corrupt is None:
            rows = common[shown[control.name]]
            pictures, features = train.images[rows], [each.rows(rows) for each in seen]
        else:
            name, which = changed_by(control), mixed(control.share, len(base), _SEED)
            untouched = train.images[base]
            pictures = np.where(which[:, None, None, None], changed_pictures(name, untouched, grain.top), untouched)
            features = [np.where(which[:, None], each.changed[name], each.rows(base)) for each in seen]
        metrics = [Metric("n", "", value=len(pictures)), *heldout, *grain.measure(pictures, settings.confidence)]
        metrics.append(CONSTANT.measured(constant_share(pictures)))
        metrics.append(DUPLICATE.measured(duplicate_share(pictures)))
        for each, its in zip(seen, features, strict=True):
            metrics += [each.judge.energy(its, asked[: len(its)], how), each.judge.lost(its, how)]
            # A distance speaks against no copies: the rule on copies does.
            if each.distance is not None and control.gross and control.name != "copies":
                gaussian, floor = floors[each.distance]
                ratio = distance_of_rows(its, gaussian) / floor if floor else 0.0
                metrics.append(ratio_metric(each.distance, "test").measured(ratio))
        if control.name == "copies":
            copied = nearest(pictures[:_COPIES_SEARCHED], train.images, settings.copy_shift)
            limits = settings.copy_quantile, settings.copy_ratio, settings.confidence
            metrics += count_copies(copied, unseen, *limits)
        numbers = flat(metrics, settings.confidence)
        scored[control.name] = {"words": control.words, "gross": control.gross, "metrics": numbers}
    return scored


def _floor(seen: ControlFeatures, asked: Rows, settings: PictureEvaluateConfig) -> tuple[Any, float]:
    """Unseen pictures as a Gaussian, and how far as many training pictures are from it."""
    real = seen.judge.real
    test = gaussian_of(real.test_rows)
    n = min(len(asked), len(real.train_rows))
    return test, subset_floor(real.train_rows, real.train_labels, asked[:n], test, settings.floor_draws, settings.seed)
