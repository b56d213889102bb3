"""Bad samples made from real pictures: what the gate must refuse, so that it can show that it does.

Each control is what a faulty model would give. `gross` ones no release may pass; of the others the verdict says which
it cannot see on these data. All are functions of training pictures and a seed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

_PATCHES = 4  # a patch-shuffled picture is cut into 4 x 4 parts
_BLUR = 8  # a blurred picture keeps what is coarser than an eighth of its side


@dataclass(frozen=True)
class Control:
    """`words` say what such samples are; `mixed`: only this share of them, among untouched training pictures."""

    name: str
    words: str
    gross: bool
    corrupt: Callable[[Images, int, np.random.Generator], Images] | None = None
    share: float = 1.0


def noise(images: Images, top: int, rng: np.random.Generator) -> Images:
    """Every value drawn evenly from the range."""
    return rng.integers(0, top + 1, images.shape, dtype=np.int64).astype(np.uint8)


def mean_picture(images: Images, top: int, rng: np.random.Generator) -> Images:
    """The mean of all pictures, again and again."""
    return np.broadcast_to(np.rint(images.mean(axis=0)).astype(np.uint8), images.shape)


def shuffled_pixels(images: Images, top: int, rng: np.random.Generator) -> Images:
    """The pixels of each picture in a random order."""
    n, channels, height, width = images.shape
    order = rng.permuted(np.tile(np.arange(height * width), (n, 1)), axis=1)
    flat = images.reshape(n, channels, -1)
    return np.take_along_axis(flat, order[:, None, :], axis=2).reshape(images.shape)


def shuffled_patches(images: Images, top: int, rng: np.random.Generator) -> Images:
    """Parts of each picture in a random order; what the parts leave over at the edge stays."""
    result = images.copy()
    high, wide = (side // _PATCHES for side in images.shape[2:])
    if high == 0 or wide == 0:
        return shuffled_pixels(images, top, rng)
    places = [(row * high, column * wide) for row in range(_PATCHES) for column in range(_PATCHES)]
    for picture, source in zip(result, images, strict=True):
        for (y, x), nth in zip(places, rng.permutation(len(places)), strict=True):
            from_y, from_x = places[nth]
            picture[:, y : y + high, x : x + wide] = source[:, from_y : from_y + high, from_x : from_x + wide]
    return result


def blurred(images: Images, top: int, rng: np.random.Generator) -> Images:
    """Low frequencies alone."""
    keep = [np.abs(np.fft.fftfreq(side)) <= 0.5 * _kept(side) for side in images.shape[2:]]
    spectrum = np.fft.fft2(images.astype(np.float64)) * np.logical_and.outer(*keep)
    return _levels(np.fft.ifft2(spectrum).real, top)


def _kept(side: int) -> float:
    return max(1.0 / _BLUR, 2.0 / side)


def noisy(amount: float) -> Callable[[Images, int, np.random.Generator], Images]:
    """Gaussian noise of this share of the range added."""

    def corrupt(images: Images, top: int, rng: np.random.Generator) -> Images:
        return _levels(images + rng.normal(0.0, amount * top, images.shape), top)

    return corrupt


def _levels(values: NDArray[np.float64], top: int) -> Images:
    return np.clip(np.rint(values), 0, top).astype(np.uint8)


# Those without `corrupt` are picks of real pictures (`picks`).
CONTROLS: tuple[Control, ...] = (
    Control("noise", "uniform noise", True, noise),
    Control("mean picture", "the mean picture repeated", True, mean_picture),
    Control("one picture", "one training picture repeated", True),
    Control("ten pictures", "ten training pictures repeated", True),
    Control("one class", "training pictures of one class", True),
    Control("half noise", "half noise, half training pictures", True, noise, 0.5),
    Control("noise added", "training pictures with noise of a quarter of the range added", True, noisy(0.25)),
    Control("pixels shuffled", "training pictures with their pixels in a random order", True, shuffled_pixels),
    Control("blurred", "training pictures with nothing but coarse shapes left", True, blurred),
    Control("copies", "training pictures", True),
    Control("half the modes", "training pictures of half the regions", False),
    Control("half the classes", "training pictures of half the classes", False),
    Control("quarter noise", "a quarter noise, the rest training pictures", False, noise, 0.25),
    Control("light noise added", "training pictures with noise of a tenth of the range added", False, noisy(0.1)),
    Control("patches shuffled", "training pictures with their parts in a random order", False, shuffled_patches),
)


def picks(labels: Rows, regions: Rows, n: int, seed: int) -> Mapping[str, Rows]:
    """For each control that picks from training pictures, the rows that it shows: n, or fewer where it has no more.

    `labels` are -1 for none, and then no control of classes is made; `regions` are of one clustering.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, n]))
    every = rng.permutation(len(labels))

    def only(groups: Rows, kept: Rows) -> Rows:
        return every[np.isin(groups[every], kept)][:n]

    found = {
        "one picture": np.resize(every[:1], n),
        "ten pictures": np.resize(every[:10], n),
        "copies": every[:n],
        "half the modes": only(regions, _half(regions, rng)),
    }
    if len(np.unique(labels[labels >= 0])) > 1:
        fullest = np.bincount(labels[labels >= 0]).argmax()
        found["one class"] = only(labels, np.array([fullest]))
        found["half the classes"] = only(labels, _half(labels, rng))
    return found


def mixed(share: float, n: int, seed: int) -> NDArray[np.bool_]:
    """Which of n pictures a mixed control shows changed, the rest as they are."""
    order = np.random.Generator(np.random.Philox(key=[seed, n])).permutation(n)
    return np.asarray(order < round(share * n))


def _half(groups: Rows, rng: np.random.Generator) -> Rows:
    """Groups drawn at random until they hold half of the rows, as nearly as the last one allows."""
    names, counts = np.unique(groups, return_counts=True)
    order = rng.permutation(len(names))
    within = np.cumsum(counts[order])
    kept = max(1, min(len(names) - 1, int(np.argmin(np.abs(within - len(groups) / 2))) + 1))
    return names[order[:kept]]
