"""Images as bytes: a PNG (one, or a grid), a zip of PNGs, an npz of arrays. The same images give the same bytes."""

import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import json_bytes
from ddpm_core.spec import LABEL
from pipelines.kinds.pictures.rows.decode import encode_png, grid, in_file, straight
from pipelines.serving.base.serving import Samples

MEDIA = {"png": "image/png", "zip": "application/zip", "npz": "application/octet-stream"}
# The earliest date that zip can hold; the current date would change the bytes each time.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_GRID_SIDE = 64  # small pictures are enlarged in a grid until they are about so many pixels wide


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images [n, C, H, W] with the label, attributes and seed of each, and `Sampler.made_by`."""

    images: NDArray[np.uint8]
    labels: Sequence[int | None]
    seeds: Sequence[int]
    made_by: Mapping[str, str]
    attributes: Mapping[str, Sequence[int | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Samples) -> "Pictures":
        attributes = {name: values for name, values in samples.cond.items() if name != LABEL}
        return cls(samples.data, samples.labels, samples.seeds, samples.made_by, attributes)

    @property
    def told(self) -> dict[str, NDArray[np.int64]]:
        """The class of each attribute, -1 for none."""
        return {name: _numbers(values) for name, values in self.attributes.items()}

    def png(self) -> bytes:
        """One image as it is, several as a grid."""
        if len(self.images) == 1:
            return self.one(0)
        scale = max(1, _GRID_SIDE // self.images.shape[-1])
        text = self._text(seeds=f"{self.seeds[0]} to {self.seeds[-1]}")
        images = straight(self.images) if self.images.shape[1] == 4 else self.images
        return grid(images, columns_for(len(images)), scale, text)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(name, PNG) of each image."""
        width = max(4, len(str(max(self.seeds))))
        for i, (seed, label) in enumerate(zip(self.seeds, self.labels, strict=True)):
            yield f"{seed:0{width}d}-{'none' if label is None else label}.png", self.one(i)

    def zip(self) -> bytes:
        """The files, and index.json with the seed, label and attributes of each."""
        buffer = io.BytesIO()
        entries = []
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for i, (name, data) in enumerate(self.files()):
                archive.writestr(zipfile.ZipInfo(name, _NO_DATE), data)
                told = {"attributes": self._attributes(i)} if self.attributes else {}
                entries.append({"file": name, "seed": self.seeds[i], "label": self.labels[i], **told})
            index = json_bytes({"made_by": dict(self.made_by), "pictures": entries})
            archive.writestr(zipfile.ZipInfo("index.json", _NO_DATE), index)
        return buffer.getvalue()

    def npz(self) -> bytes:
        """`images` uint8 [n, C, H, W], `labels` int64 [n] (-1: none), `seeds` uint64 [n]; attributes as labels.

        Of four channels the colours are times alpha, as the network makes them.
        """
        buffer = io.BytesIO()
        seeds = np.array(self.seeds, dtype=np.uint64)
        arrays: dict[str, Any] = {"images": self.images, "labels": _numbers(self.labels), "seeds": seeds}
        np.savez_compressed(buffer, **{**arrays, **self.told})
        return buffer.getvalue()

    def one(self, i: int) -> bytes:
        """The PNG of image i."""
        label = self.labels[i]
        told = {name: str(value) for name, value in self._attributes(i).items() if value is not None}
        text = self._text(seed=str(self.seeds[i]), label="none" if label is None else str(label), **told)
        return encode_png(in_file(self.images[i]), text)

    def _attributes(self, i: int) -> dict[str, int | None]:
        return {name: values[i] for name, values in self.attributes.items()}

    def _text(self, **of_this: str) -> dict[str, str]:
        """The text chunks of a PNG."""
        return {f"ddpm {key}": value for key, value in {**of_this, **self.made_by}.items()}


def _numbers(values: Sequence[int | None]) -> NDArray[np.int64]:
    return np.array([-1 if value is None else value for value in values], dtype=np.int64)


def columns_for(n: int) -> int:
    """About a square; a multiple of ten has rows of ten or more, so that ten classes line up."""
    return min(n, max(10, round(math.sqrt(n)))) if n % 10 == 0 else max(1, round(math.sqrt(n)))
