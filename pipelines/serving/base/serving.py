"""What a kind of data gives to be served: over HTTP, by `ddpm sample` and as the registered model of MLflow."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import ParamsError
from ddpm_core.spec import LABEL, DataSpec
from pipelines.serving.base.request import Request


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples [n, *shape] as data are kept, with the conditions and seed of each, and `Sampler.made_by`.

    `about` is what their request says of the answer (`RequestConditions.about`).
    """

    data: NDArray[Any]
    cond: Mapping[str, Sequence[Any]]
    seeds: Sequence[int]
    made_by: Mapping[str, str]
    about: Any = None

    @property
    def labels(self) -> list[int | None]:
        """The class of each sample; None where it was told none."""
        return list(self.cond.get(LABEL, [None] * len(self.seeds)))


class Editing(NamedTuple):
    """How `ddpm edit` reads its files for a kind; ParamsError where a file does not fit the DataSpec."""

    datum: Callable[[Path, DataSpec], NDArray[Any]]
    """A datum as data are kept."""
    kept: Callable[[Path, DataSpec], NDArray[np.bool_]]
    """A mask, true where the datum is kept; its axes are the datum's last ones."""


class Folder(NamedTuple):
    """How `ddpm sample` writes a folder."""

    files: Callable[[Samples], Iterator[tuple[str, bytes]]]
    """(name, content) of each sample."""


class WebFiles(NamedTuple):
    """How a kind's data are the files of pictures that OpenAI's image routes exchange."""

    write: Callable[[Samples, int, str, int], bytes]
    """Sample i in a format, `png`, `webp` or `jpeg`, at a quality from 0 to 100."""
    read: Callable[[bytes, bytes | None, DataSpec], tuple[NDArray[Any], NDArray[np.bool_] | None]]
    """A picture and its mask to a datum as data are kept, and to where it is kept; None: nothing is to be filled."""


class Serving(ABC):
    """How one kind of data is asked for and answered."""

    body_bytes: ClassVar[int] = 65_536  # many times the size of the longest list of labels
    """The most bytes of a request's body, where the server was told no other limit."""
    most_cost: ClassVar[int] = 10_000
    """The most network evaluations of single data that a request may ask for, likewise."""
    trial: ClassVar[str] = "sample --n 64"
    """The command to try a new bundle with, behind `ddpm`."""
    media: ClassVar[Mapping[str, str]]
    """The media type of each format; `ddpm sample` takes the formats as endings of a file's name."""
    default_out: ClassVar[str]
    """What `ddpm sample` writes if --out is not given."""
    columns: ClassVar[Mapping[str, str]]
    """What a record of the registered model holds beside seed and label: MLflow's type by the column's name."""
    folder: ClassVar[Folder | None] = None
    """None where `ddpm sample` writes no folder with a file for each sample."""
    editing: ClassVar[Editing | None] = None
    """None where `ddpm edit` does not know the kind."""
    web_files: ClassVar[WebFiles | None] = None
    """None where OpenAI's image routes do not know the kind."""

    @abstractmethod
    def routes(self, spec: DataSpec) -> Mapping[str, type[Request]]:
        """Where the HTTP service answers for a bundle of such data, as `/v1/points`, with the body of a request.

        The registered model reads its rows as requests of the first.
        """

    def commands(self, spec: DataSpec) -> Sequence[str]:
        """The commands that sample from a bundle of such data."""
        return ("sample",)

    def check_command(self, command: str, spec: DataSpec) -> None:
        """ParamsError where another command samples from such a bundle."""
        known = self.commands(spec)
        if command not in known:
            named = " or ".join(f"`ddpm {each}`" for each in known)
            raise ParamsError(
                f"--bundle: must be a bundle that `ddpm {command}` can sample from, but this one of {spec.kind} is "
                f"sampled by {named}; `ddpm {known[0]} --help` says how"
            )

    @abstractmethod
    def encode(self, samples: Samples, format: str) -> bytes:
        """Samples in one of the formats; the same samples give the same bytes."""

    def record(self, datum: NDArray[Any]) -> dict[str, Any]:
        """The `columns` of one sample; none, unless a kind says more."""
        return {}

    def records(self, samples: Samples) -> list[dict[str, Any]]:
        """What the registered model answers: records with `seed`, `label` (-1: none) and the `columns`."""
        return [
            {"seed": seed, "label": -1 if label is None else label, **self.record(datum)}
            for seed, label, datum in zip(samples.seeds, samples.labels, samples.data, strict=True)
        ]

    def format_of(self, out: Path) -> str | None:
        """The format that the ending of --out names; None for a folder. ParamsError for another ending."""
        if out.suffix[1:] in self.media:
            return out.suffix[1:]
        if out.suffix == "" and self.folder is not None:
            return None
        *others, last = (f".{name}" for name in self.media)
        endings = f"{', '.join(others)} or {last}" if others else last
        folder = ", or name a folder without a dot" if self.folder is not None else ""
        raise ParamsError(f"--out: must end in {endings}{folder}, got {out}")
