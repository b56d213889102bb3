"""Images as bytes: a PNG (one, or a grid), a zip of PNGs, an npz of arrays. The same images give the same bytes."""

import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm_core.files import json_bytes
from pipelines.kinds.pictures.rows.decode import encode_png, grid

MEDIA = {"png": "image/png", "zip": "application/zip", "npz": "application/octet-stream"}
# The earliest date that zip can hold; the current date would change the bytes each time.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_GRID_SIDE = 64  # small pictures are enlarged in a grid until they are about so many pixels wide


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images [n, C, H, W] with the label and seed of each, and `Sampler.made_by`."""

    images: NDArray[np.uint8]
    labels: Sequence[int | None]
    seeds: Sequence[int]
    made_by: Mapping[str, str]

    def png(self) -> bytes:
        """One image as it is, several as a grid."""
        if len(self.images) == 1:
            return self.one(0)
        scale = max(1, _GRID_SIDE // self.images.shape[-1])
        text = self._text(seeds=f"{self.seeds[0]} to {self.seeds[-1]}")
        return grid(self.images, columns_for(len(self.images)), scale, text)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(name, PNG) of each image."""
        width = max(4, len(str(max(self.seeds))))
        for i, (seed, label) in enumerate(zip(self.seeds, self.labels, strict=True)):
            yield f"{seed:0{width}d}-{'none' if label is None else label}.png", self.one(i)

    def zip(self) -> bytes:
        """The files, and index.json with the seed and label of each."""
        buffer = io.BytesIO()
        entries = []
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for (name, data), seed, label in zip(self.files(), self.seeds, self.labels, strict=True):
                archive.writestr(zipfile.ZipInfo(name, _NO_DATE), data)
                entries.append({"file": name, "seed": seed, "label": label})
            index = json_bytes({"made_by": dict(self.made_by), "pictures": entries})
            archive.writestr(zipfile.ZipInfo("index.json", _NO_DATE), index)
        return buffer.getvalue()

    def npz(self) -> bytes:
        """`images` uint8 [n, C, H, W], `labels` int64 [n] (-1: none), `seeds` uint64 [n]."""
        buffer = io.BytesIO()
        labels = np.array([-1 if label is None else label for label in self.labels], dtype=np.int64)
        np.savez_compressed(buffer, images=self.images, labels=labels, seeds=np.array(self.seeds, dtype=np.uint64))
        return buffer.getvalue()

    def one(self, i: int) -> bytes:
        """The PNG of image i."""
        label = self.labels[i]
        return encode_png(
            self.images[i], self._text(seed=str(self.seeds[i]), label="none" if label is None else str(label))
        )

    def _text(self, **of_this: str) -> dict[str, str]:
        """The text chunks of a PNG."""
        return {f"ddpm {key}": value for key, value in {**of_this, **self.made_by}.items()}


def columns_for(n: int) -> int:
    """About a square; a multiple of ten has rows of ten or more, so that ten classes line up."""
    return min(n, max(10, round(math.sqrt(n)))) if n % 10 == 0 else max(1, round(math.sqrt(n)))
