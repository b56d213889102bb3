"""The sets that torchvision knows by name, from a folder of one's own; downloaded only where that is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ddpm_core.checks import Checks, Config, at_least_1
from ddpm_core.errors import DataError, Unreachable
from pipelines.kinds.facts import SourceFacts, name_of
from pipelines.kinds.pictures.rows.rules import Listing, Pixels, Rules, SourcePicture, first_of_each_class
from pipelines.kinds.split import SplitName

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10, MNIST

# Only where the set's makers state one beside the files.
_LICENCES = {"FashionMNIST": "Fashion-MNIST by Zalando SE (MIT)."}
_SIDES = {"CIFAR10": 32, "MNIST": 28, "FashionMNIST": 28}


@dataclass(frozen=True)
class Torchvision(Config):
    """`path` is torchvision's root; `split` says whether the set's own division holds or the pixels' digests decide."""

    kind: Literal["torchvision"]
    path: str
    name: Literal["CIFAR10", "MNIST", "FashionMNIST"]
    download: bool
    split: Literal["official", "digest"]
    resolution: int
    pictures_per_class: int | None

    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v.strip()), "the folder that torchvision calls root"),
        "resolution": at_least_1,
        "pictures_per_class": (lambda v: v is None or v >= 1, "at least 1, or null for all"),
    }

    def rules(self) -> Rules:
        side = _SIDES[self.name]
        return Rules(
            size=(self.resolution, self.resolution),
            channels="rgb" if self.name == "CIFAR10" else "grey",
            fit="stretch",
            filter="lanczos",
            background=(0, 0, 0),
            min_side=1,
            max_pixels=side * side,
            max_bytes=3 * side * side,
        )

    def facts(self) -> SourceFacts:
        return SourceFacts(
            model_name=name_of(self.name, otherwise="pictures"),
            title=f"{self.name} by diffusion",
            data_licence=_LICENCES.get(self.name),
            limits=f"It knows the pictures of {self.name}, at {self.resolution} x {self.resolution} pixels, and "
            "nothing else.",
        )

    def listing(self, root: Path) -> Listing:
        place = root / self.path
        parts = {split: self._open(place, train=split == "train") for split in ("train", "test")}
        found = first_of_each_class(self._found(parts), self.pictures_per_class)
        return Listing(found=found, classes=tuple(parts["train"].classes), ignored=0)

    def _open(self, place: Path, train: bool) -> "CIFAR10 | MNIST":
        from torchvision import datasets

        make = {"CIFAR10": datasets.CIFAR10, "MNIST": datasets.MNIST, "FashionMNIST": datasets.FashionMNIST}[self.name]
        try:
            return make(root=str(place), train=train, download=self.download)
        except (RuntimeError, OSError) as error:  # torchvision's own words for a missing, damaged or unreachable file
            mend = (
                "put its files there by hand"
                if self.download
                else "put its files there, or set `download: true` to let torchvision fetch them"
            )
            raise (Unreachable if self.download else DataError)(
                f"source.path: {place} must be torchvision's root with the files of {self.name}, but torchvision says: "
                f"{' '.join(str(error).split())}; {mend}"
            ) from error

    def _found(self, parts: "dict[str, CIFAR10 | MNIST]") -> Iterator[SourcePicture]:
        names: tuple[SplitName, SplitName] = ("train", "test")
        for split in names:
            part = parts[split]
            images, labels = np.asarray(part.data, dtype=np.uint8), np.asarray(part.targets)
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield SourcePicture(
                    name=f"{self.name} {split} {number:05d}",
                    class_name=part.classes[int(label)],
                    content=Pixels.of(image),
                    split=split if self.split == "official" else None,
                )
