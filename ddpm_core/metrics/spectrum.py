"""What the frequencies of pictures show: a mesh of every second pixel.

A network that sees pixels in patches of 2 x 2 may answer otherwise in each place of a patch. What comes of it has the
shortest period that pictures can have, two pixels: its energy lies on the Nyquist lines of the spectrum, not beside.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ddpm_core.metrics.data import EvalData
from ddpm_core.metrics.metric import Metric

Images = NDArray[np.uint8]

SHORTEST = 8  # pixels of a side whose frequencies can be told apart
_BESIDE = 3  # frequencies below Nyquist that it is held against
_ROUNDING = 1 / 12  # energy at every frequency that the rounding to levels alone brings, in squared levels
_AT_ONCE = 256  # pictures, so that the work takes little memory


def mesh(data: EvalData) -> Iterator[Metric]:
    """The energy at the Nyquist frequency, of samples and of unseen images."""
    value, real = nyquist_energy(data.images), nyquist_energy(data.unseen)
    is_mesh = value is not None and real is not None and value > real
    row = "energy at the Nyquist frequency" + (": a mesh of every second pixel" if is_mesh else "")
    yield Metric(
        "nyquist_energy",
        "energy at the Nyquist frequency against that beside it, in samples: more than real is a mesh", "inside",
        floor="nyquist_energy_heldout", contrast=(row, "against that of the frequencies beside it, 1 = white noise"),
        value=value,
    )  # fmt: skip
    yield Metric("nyquist_energy_heldout", "the same in unseen images", value=real)


def nyquist_energy(images: Images) -> float | None:
    """Energy at the Nyquist lines of [N, C, H, W] as a multiple of that at the three frequencies beside them.

    White noise has 1, and so have pictures of one colour; smooth pictures have less, a mesh of two pixels has more. The
    energies of all pictures, channels, rows and columns are summed first. The last pixel of an odd side is left out; a
    side below 8 pixels is not looked along, and where both are shorter there is no number.
    """
    at = beside = 0.0
    for axis in _axes(images):
        side = images.shape[axis] // 2 * 2
        energy = sum(
            _energies(np.moveaxis(images[start : start + _AT_ONCE], axis, -1)[..., :side])
            for start in range(0, len(images), _AT_ONCE)
        )
        energy = energy / (images.size // images.shape[axis])
        at += float(energy[-1])
        beside += float(np.mean(energy[-1 - _BESIDE : -1]))
    count = len(_axes(images))
    return (at + count * _ROUNDING) / (beside + count * _ROUNDING) if count else None


def _axes(images: Images) -> list[int]:
    return [axis for axis in (2, 3) if images.shape[axis] >= SHORTEST]


def _energies(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The energy of rows at each frequency, summed over all of them: white noise of variance v has v a row."""
    energy = np.square(np.abs(np.fft.rfft(rows, axis=-1)))
    return np.asarray(energy.sum(axis=tuple(range(rows.ndim - 1))) / rows.shape[-1])
