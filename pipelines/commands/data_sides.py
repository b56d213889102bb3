"""The two sides of `ddpm data diff`: raw data, projects or summaries, and which data only one of them has."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import DataError, IntegrityError, ParamsError
from pipelines.commands.common import is_project
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import Manifest, Row, read_manifest
from pipelines.kinds.quarantine import shown_name
from pipelines.paths import Paths
from pipelines.validation.compare import farthest
from pipelines.validation.examples import page_of, picture_of
from pipelines.validation.files import Shown
from pipelines.validation.summary import DataSummary, read_summary, sample_of, summary_of

if TYPE_CHECKING:
    from pipelines.params import Params

_SHOWN = 20


@dataclass(frozen=True)
class Side:
    """One data set; `manifest` and `folder` are None where there is a summary alone."""

    name: str
    summary: DataSummary
    manifest: Manifest | None = None
    folder: Path | None = None

    def told(self) -> str:
        counts = "" if self.manifest is None else f", {self.manifest.counts.quarantined:,} quarantined"
        return f"{shown_name(self.name)}: {self.summary.examples:,} {self.summary.kind}{counts}"

    def facts(self) -> dict[str, Any]:
        return {"name": shown_name(self.name), "kind": self.summary.kind, "examples": self.summary.examples}


@dataclass(frozen=True)
class Differences:
    """By the digests of contents: how many both have, and the rows that only one has."""

    both: int
    only_a: list[Row]
    only_b: list[Row]

    @classmethod
    def of(cls, a: Side, b: Side) -> "Differences | None":
        """None where a side is a summary, which does not hold each datum."""
        if a.manifest is None or b.manifest is None:
            return None
        in_a, in_b = ({row.content_sha256 for row in side.manifest.rows} for side in (a, b))  # type: ignore[union-attr]
        return cls(
            len(in_a & in_b),
            [row for row in a.manifest.rows if row.content_sha256 not in in_b],
            [row for row in b.manifest.rows if row.content_sha256 not in in_a],
        )

    def counts(self) -> dict[str, int]:
        return {"both": self.both, "only_a": len(self.only_a), "only_b": len(self.only_b)}

    def __str__(self) -> str:
        return f"by content, both have {self.both:,}; only A {len(self.only_a):,}, only B {len(self.only_b):,}"


@contextmanager
def read_sides(a: str, b: str) -> Iterator[tuple[Side, Side]]:
    """Raw data are prepared in a folder that is removed: by the source of the other side's project if it is one, else
    by what `ddpm init --data` would choose for the first of them."""
    params = next((_params(Path(each)) for each in (a, b) if is_project(Path(each))), None)
    of_project = params is not None
    with ExitStack() as stack:
        sides = []
        for letter, text in (("A", a), ("B", b)):
            place = Path(text)
            if not place.exists():
                raise ParamsError(f"{letter}: {text} must be data, a project or an accepted.json, but there is nothing")
            if is_project(place):
                sides.append(_of_project(text, Paths.of(place)))
            elif place.suffix == ".json" and place.is_file():
                sides.append(_of_summary(text, place))
            else:
                params = params or _chosen(letter, place)
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                sides.append(_of_raw(letter, text, _with_source_at(params, place, of_project), scratch))
        yield sides[0], sides[1]


def _params(place: Path) -> "Params":
    from pipelines.params import load_params

    return load_params(place / "params.yaml")


def _chosen(letter: str, place: Path) -> "Params":
    from pipelines.profiling.plan import params_of

    try:
        return params_of(place)
    except DataError as error:
        raise DataError(f"{letter}: {str(error).removeprefix('--data: ')}") from error


def _with_source_at(params: "Params", place: Path, of_project: bool) -> "Params":
    """Where no project says how the data are read, a folder around the folder of the data stands for that one, as
    for `ddpm init`."""
    from pipelines.kinds.place import inner_folder

    place = place.resolve() if of_project else inner_folder(place.resolve())
    return replace(params, source=kind_of(params.kind).source_at(params.source, place))


def _of_project(name: str, paths: Paths) -> Side:
    if not paths.manifest.exists():
        raise DataError(f"{name}: must be a project with prepared data, but there are none; run `ddpm prepare` in it")
    manifest = read_manifest(paths.manifest)
    return Side(name, summary_of(manifest, paths.prepared), manifest, paths.prepared)


def _of_summary(name: str, place: Path) -> Side:
    summary = read_summary(place)
    if summary is None:
        raise IntegrityError(f"{name}: must be a summary of data, but none were accepted yet; run `ddpm data accept`")
    return Side(name, summary)


def _of_raw(letter: str, name: str, params: "Params", folder: Path) -> Side:
    kind = kind_of(params.kind)
    try:
        prepared = kind.prepare(params.source, params.split, folder, Path(), max(1, params.runtime.workers))
    except (DataError, ParamsError) as error:
        raise DataError(f"{letter}: {str(error).removeprefix('source.path: ')}") from error
    if not prepared.manifest.rows:
        first = prepared.rejected[0] if prepared.rejected else None
        why = f"; the first: {shown_name(first.name)}: {first.reason}" if first else ""
        raise DataError(f"{letter}: {name} must hold at least one example that can be used, but it holds none{why}")
    return Side(name, summary_of(prepared.manifest, folder), prepared.manifest, folder)


def write_page(path: Path, a: Side, b: Side, found: Differences | None) -> None:
    """An HTML page with the data that are the most unlike those of the other side."""
    from ddpm_core.files import atomic_write_text

    parts = []
    for side, other, only in ((b, a, found and found.only_b), (a, b, found and found.only_a)):
        if (
            side.manifest is None
            or side.folder is None
            or side.summary.features.shape[1] != other.summary.features.shape[1]
        ):
            continue
        rows = sample_of(side.manifest)
        places = farthest(side.summary.features, other.summary.features)
        missing = {row.content_sha256 for row in only or ()}
        chosen = [rows[place] for place in places if not missing or rows[place].content_sha256 in missing][:_SHOWN]
        png = picture_of(side.folder, chosen, side.manifest.spec) if chosen else None
        if png is not None:
            title = f"Of {shown_name(side.name)} the most unlike {shown_name(other.name)}"
            parts.append((Shown("", title, [shown_name(row.source) for row in chosen]), png))
    atomic_write_text(path, page_of(parts, []))
