"""Bad samples for benchmarks/gate_trial.py, written anew: none of it is the gate's own code that makes controls.

A control either changes training pictures, or picks some of them; of a mixed one only a share is changed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

Images = np.ndarray
Change = Callable[[Images, np.random.Generator], Images]


def noise(images: Images, rng: np.random.Generator) -> Images:
    return rng.integers(0, 256, images.shape).astype(np.uint8)


def mean(images: Images, rng: np.random.Generator) -> Images:
    return np.broadcast_to(_levels(images.mean(axis=0)), images.shape)


def plain(level: int) -> Change:
    return lambda images, rng: np.full_like(images, level)


def added(sigma: float) -> Change:
    """Gaussian noise of this share of the range."""
    return lambda images, rng: _levels(images + rng.normal(0.0, 255 * sigma, images.shape))


def shuffled(images: Images, rng: np.random.Generator) -> Images:
    """The pixels of each picture in another order, their colours kept."""
    flat = images.reshape(*images.shape[:2], -1)
    order = rng.permuted(np.tile(np.arange(flat.shape[2]), (len(flat), 1)), axis=1)
    return np.take_along_axis(flat, order[:, None], axis=2).reshape(images.shape)


def gaussian(images: Images, rng: np.random.Generator) -> Images:
    """Each value drawn by itself from a normal law with the mean and deviation of its pixel."""
    return _levels(rng.normal(images.mean(axis=0), images.std(axis=0), images.shape))


def blurred(images: Images, rng: np.random.Generator) -> Images:
    """A tenth of the side is the deviation of the kernel."""
    sigma = images.shape[2] / 10
    return _levels(gaussian_filter(images.astype(np.float32), (0, 0, sigma, sigma), mode="nearest"))


def _levels(values: np.ndarray) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "noise": noise,
    "mean": mean,
    "white": plain(255),
    "black": plain(0),
    "sigma .25": added(0.25),
    "sigma .5": added(0.5),
    "shuffled": shuffled,
    "gaussian": gaussian,
    "blurred": blurred,
    "sigma .1": added(0.1),
}
ALIKE = ("mean", "white", "black")  # all pictures come out the same


@dataclass(frozen=True)
class Control:
    """`change` is a key of CHANGES, applied to `share` of the pictures; without one, `kept` picks training rows."""

    name: str
    gross: bool
    change: str | None = None
    share: float = 1.0


CONTROLS = (
    *(Control(name, True, name) for name in CHANGES if name != "sigma .1"),
    Control("one picture", True),
    Control("ten pictures", True),
    Control("one class", True),
    Control("half noise", True, "noise", 0.5),
    Control("half the modes", False),
    Control("half the classes", False),
    Control("quarter noise", False, "noise", 0.25),
    Control("sigma .1", False, "sigma .1"),
)

PICKS = tuple(control.name for control in CONTROLS if control.change is None)


def picked(name: str, labels: np.ndarray, modes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Training rows of a control that picks: n, or as many as there are. `modes` are clusters of them, by number."""
    order = rng.permutation(len(labels))
    if name in ("one picture", "ten pictures"):
        return np.resize(order[: 1 if name == "one picture" else 10], n)
    groups = modes if name == "half the modes" else labels
    names, counts = np.unique(groups, return_counts=True)
    kept = names[rng.permutation(len(names))[:1]] if name == "one class" else names[_half(counts, rng)]
    return order[np.isin(groups[order], kept)][:n]


def _half(counts: np.ndarray, rng: np.random.Generator, tries: int = 20) -> np.ndarray:
    """Groups, drawn at random, that together hold half of the pictures as nearly as some draw of several does.

    Groups may be of any size: a single draw may end with three quarters of the pictures, which is another fault.
    """
    draws = []
    for _ in range(tries):
        drawn = rng.permutation(len(counts))
        apart = np.abs(np.cumsum(counts[drawn]) / counts.sum() - 0.5)[:-1]
        draws.append((round(float(apart.min()), 1), drawn[: int(apart.argmin()) + 1]))
    return min(draws, key=lambda draw: draw[0])[1]  # of the nearest, to a tenth, the first


def modes_of(rows: np.ndarray, seed: int) -> np.ndarray:
    """Ten clusters of features, by another clustering than the gate's."""
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(10, n_init=1, random_state=seed).fit_predict(rows.astype(np.float32)))
