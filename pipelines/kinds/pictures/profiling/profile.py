"""Looks at pictures, wherever they come from: sizes, colour, classes, broken files, copies, grain, mirror images."""

import io
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError
from ddpm_core.metrics.energy import cross_means, row_means
from pipelines.kinds.pictures.profiling.recognise import ENDINGS, Recognised, recognised
from pipelines.kinds.pictures.profiling.split_folders import SplitFolders, split_folders
from pipelines.kinds.pictures.rows.decode import decode
from pipelines.kinds.pictures.rows.likeness import fingerprint, near_duplicates
from pipelines.kinds.pictures.rows.prepare import pixels_digest
from pipelines.kinds.pictures.rows.rules import File, Member, Rules, SourcePicture
from pipelines.kinds.place import inner_folder

Pixels = NDArray[np.uint8]

MIN_SIDE = 8
_LOOKED_AT = 2_000  # pictures, spread over the listing
_MEGAPIXELS = 300.0  # decoded at most: large photographs are slow
_THUMB = 64
_MIRRORED, _MIRRORED_LEAST = 400, 60  # pictures of which mirror images are compared
_WHITE = 250.0


@dataclass(frozen=True)
class Refused:
    name: str
    reason: str

    @property
    def is_named_like_a_picture(self) -> bool:
        """Or is the row of a table, which must have one."""
        return self.name.lower().endswith(ENDINGS) or re.search(r":\d+$", self.name) is not None


@dataclass(frozen=True, eq=False)
class PictureProfile:
    """What was seen of some of the pictures. Arrays are by the pictures that could be read."""

    place: Path
    given: Recognised
    scratch: "tempfile.TemporaryDirectory[str]"  # what `contents` may lie in; removed with the profile
    classes: dict[str, int]  # files named like pictures in each folder directly below, or pictures of each label
    outside: int  # such files outside of these folders, or without a label
    files: int
    looked: int
    refused: tuple[Refused, ...]
    split: SplitFolders | None  # where the folders directly below are no classes but train, test and the like
    sides: NDArray[np.int64]  # [n, 2]: width and height as the files have them
    thumbs: Pixels  # [n, 3, 64, 64]
    grain: float  # share of pixels that differ from their right neighbour by one level or more, at the final size
    seconds: float  # a picture
    contents: tuple[SourcePicture, ...]  # of the pictures that could be read

    @property
    def usable_share(self) -> float:
        return len(self.thumbs) / max(1, self.looked)

    @property
    def usable(self) -> int:
        return round(self.files * self.usable_share)

    @cached_property
    def coloured(self) -> float:
        """The share of pictures with a pixel in ten whose channels differ visibly."""
        spread = self.thumbs.max(axis=1).astype(np.int16) - self.thumbs.min(axis=1)
        return float(((spread > 12).mean(axis=(1, 2)) > 0.01).mean())

    @cached_property
    def side(self) -> int:
        """The median of the shorter sides."""
        return int(np.median(self.sides.min(axis=1)))

    @cached_property
    def oblong(self) -> float:
        """The share of pictures that are a tenth longer than wide, or wider than long."""
        return float((self.sides.max(axis=1) > 1.1 * self.sides.min(axis=1)).mean())

    @cached_property
    def on_white(self) -> float:
        """The share of pictures with a white border."""
        rim = np.concatenate([self.thumbs[:, :, [0, -1]].reshape(len(self.thumbs), -1),
                              self.thumbs[:, :, :, [0, -1]].reshape(len(self.thumbs), -1)], axis=1)  # fmt: skip
        return float((rim.mean(axis=1) > _WHITE).mean())

    @cached_property
    def exact_copies(self) -> float:
        """The share of pictures that show the very pixels of another one before."""
        return 1.0 - len({thumb.tobytes() for thumb in self.thumbs}) / len(self.thumbs)

    @cached_property
    def flat(self) -> float:
        """The share of pictures of a single level."""
        return float((self.thumbs.max(axis=(1, 2, 3)) == self.thumbs.min(axis=(1, 2, 3))).mean())

    @cached_property
    def near(self) -> float:
        """The share of pictures that are near duplicates of another one before, as stage prepare will find them."""
        groups = near_duplicates({pixels_digest(thumb): fingerprint(thumb) for thumb in self.thumbs})
        return (len(groups) - len(set(groups.values()))) / len(self.thumbs)

    @cached_property
    def grey(self) -> NDArray[np.float32]:
        """[n, 64, 64]"""
        grey: NDArray[np.float32] = self.thumbs.astype(np.float32).mean(axis=1)
        return grey

    @cached_property
    def mirrored(self) -> float | None:
        """How far mirror images are from the pictures, as an energy distance of small grey versions, no picture paired
        with its own image. Two mirror images are as far apart as their pictures, so one term stands for two.

        0: they could be pictures of the same data; 1: as far as two pictures are from each other. None: too few to say.
        """
        small = self.grey[:_MIRRORED].reshape(-1, 16, 4, 16, 4).mean(axis=(2, 4))
        if len(small) < _MIRRORED_LEAST:
            return None
        n, rows = len(small), np.ascontiguousarray(small.reshape(len(small), -1))
        images = np.ascontiguousarray(small[:, :, ::-1].reshape(n, -1))
        own = float(np.linalg.norm(rows - images, axis=1).mean())
        across = (n * float(cross_means(rows, images)[0].mean()) - own) / (n - 1)
        within = float(row_means(rows).mean())
        return 2 * (across - within) / max(within, 1e-9)


def profile(path: Path) -> PictureProfile:
    """DataError where there are no pictures."""
    seen = profile_if_pictures(path)
    if seen is None:
        raise DataError(f"--data: {path} must hold pictures ({', '.join(ENDINGS)}), but there are none that are known")
    return seen


def profile_if_pictures(path: Path) -> PictureProfile | None:
    place = inner_folder(path.absolute())
    scratch = tempfile.TemporaryDirectory(prefix="ddpm-init-")
    given = recognised(place, Path(scratch.name))
    return None if given is None else _profile(path, given, scratch)


def _profile(path: Path, given: Recognised, scratch: "tempfile.TemporaryDirectory[str]") -> PictureProfile:
    listing = given.listing(Path(scratch.name))
    split: SplitFolders | None = None
    if given.kind == "image_folder":
        named = [found for found in listing.found if found.name.lower().endswith(ENDINGS)]
        split = split_folders([found.name for found in named])
        folders: Counter[str] = Counter(PurePosixPath(found.name).parts[0] for found in named if "/" in found.name)
    else:
        named = list(listing.found)
        folders = Counter(found.class_name for found in named if found.class_name is not None)
    if split is not None:
        folders = Counter(split.classes)
    looked, refused, sides, thumbs, contents = 0, [], [], [], []
    megapixels, began = 0.0, time.perf_counter()
    for found in _drawn(listing.found):
        if megapixels > _MEGAPIXELS:
            break
        looked += 1
        try:
            content = read(found)
            size = _size(content)
            thumbs.append(decode(content, _rules(_THUMB)))
        except DataError as error:
            refused.append(Refused(found.name, str(error)))
            continue
        sides.append(size)
        megapixels += size[0] * size[1] / 1e6
        contents.append(found)
    seconds = (time.perf_counter() - began) / max(1, looked)
    if not thumbs:
        reasons = Counter(each.reason for each in refused).most_common(2)
        raise DataError(
            f"--data: {path} must hold pictures that can be read, but none of {looked} files could be: "
            + "; ".join(f"{reason} ({n})" for reason, n in reasons)
        )
    return PictureProfile(
        place=Path(given.source.path),
        given=given,
        scratch=scratch,
        classes=dict(sorted(folders.items())),
        outside=len(named) - sum(folders.values()),
        files=len(listing.found),
        looked=looked,
        refused=tuple(refused),
        split=split,
        sides=np.array(sides, dtype=np.int64),
        thumbs=np.stack(thumbs),
        grain=_grain(contents, sides),
        seconds=seconds,
        contents=tuple(contents),
    )


def _rules(size: int) -> Rules:
    return Rules((size, size), "rgb", "crop", "lanczos", (255, 255, 255), MIN_SIDE, 50_000_000, 50_000_000)


def _drawn(found: Sequence[SourcePicture]) -> Iterator[SourcePicture]:
    """At most so many, in a random order that is always the same."""
    order = np.random.Generator(np.random.Philox(key=[0, len(found)])).permutation(len(found))
    return (found[place] for place in order[:_LOOKED_AT])


def read(found: SourcePicture) -> bytes:
    if not isinstance(found.content, File | Member):
        raise DataError(f"--data: {found.name} must be a file, or a member of a zip")
    return found.content.read(50_000_000)


def _size(data: bytes) -> tuple[int, int]:
    """Width and height, from the head of the file; what Pillow cannot read `decode` refuses with a reason."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width, image.height
    except Exception:  # noqa: BLE001 - whatever is wrong, `decode` says it
        return 1, 1


def _grain(contents: Sequence[SourcePicture], sides: Sequence[tuple[int, int]]) -> float:
    """Of a few pictures at about the size at which they will be learned."""
    side = min(32, int(np.median([min(each) for each in sides])))
    levels = np.stack([decode(read(found), _rules(side)) for found in contents[:60]]).astype(np.int16)
    return float((np.abs(np.diff(levels, axis=3)).max(axis=1) >= 1).mean())
