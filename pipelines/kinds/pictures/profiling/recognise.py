"""Which source of pictures some data are, where their path and first bytes can tell."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from ddpm_core.errors import DataError
from pipelines.kinds.csv_cells import cells_of
from pipelines.kinds.pictures.rows.rules import Listing
from pipelines.kinds.pictures.sources import HuggingFace, ImageFolder, PictureTable, WebDataset
from pipelines.kinds.pictures.sources.arrow_cells import PARQUET, ArrowFile, is_label, is_picture, opened
from pipelines.kinds.pictures.sources.hugging_face import files_of
from pipelines.kinds.pictures.sources.picture_table import CSV, JSON, object_of
from pipelines.kinds.pictures.sources.tar_files import is_tar, read_tar
from pipelines.kinds.pictures.sources.webdataset_shards import shards_of

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
_LABELS = ("label", "labels", "class", "category", "target", "fine_label", "species", "breed", "digit")
_ROWS = 50
_DELIMITERS = ",;\t|"
_SIDE = 64

Source = ImageFolder | PictureTable | HuggingFace | WebDataset


@dataclass(frozen=True)
class Recognised:
    """`keys` are those of section source that say how these data are read; `label_key` is among them."""

    source: Source  # with the path of the data
    label_key: str
    without_labels: str | None
    keys: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()  # columns that may hold the labels, where none is taken

    @property
    def kind(self) -> str:
        return self.source.kind

    @property
    def label_value(self) -> Any:
        """Where the data have labels, what section source says of them; else what it says where there are none."""
        return getattr(self.source, self.label_key)

    @property
    def has_labels(self) -> bool:
        return bool(self.label_value != self.without_labels)

    def listing(self, root: Path) -> Listing:
        return self.source.listing(root)


_RULES: dict[str, Any] = {
    "resolution": _SIDE, "channels": "rgb", "fit": "crop", "filter": "lanczos", "background": (255, 255, 255),
    "min_side": 1, "max_megapixels": 50.0, "max_megabytes": 50.0, "clusters": None,
}  # fmt: skip


def recognised(path: Path, root: Path) -> Recognised | None:
    """None where the data are none of pictures. `root` is where compressed tars may be decompressed below."""
    if path.is_file() and path.suffix.lower() in (*CSV, *JSON, *PARQUET):
        try:
            return _of_table(path)
        except DataError:  # those who know other tables say what is wrong
            return None
    if path.is_file():
        return _of_shards(path, root) if is_tar(path) else _of_zip(path)
    return _of_hugging_face(path) or _of_shards(path, root) or _of_folder(path) if path.is_dir() else None


def _of_folder(path: Path) -> Recognised | None:
    return _folder(path) if any(file.suffix.lower() in ENDINGS for file in path.rglob("*")) else None


def _of_zip(path: Path) -> Recognised | None:
    return _folder(path) if path.suffix.lower() == ".zip" else None


def _folder(path: Path) -> Recognised:
    """Whether its folders are classes is judged by what is in them."""
    return Recognised(ImageFolder(**_RULES, kind="image_folder", path=str(path), labels="none"), "labels", "none")


def _of_shards(path: Path, root: Path) -> Recognised | None:
    """Tars whose samples have a label beside the picture; a tar of pictures alone is read like a folder."""
    if path.is_dir() and any(each.suffix.lower() in ENDINGS for each in path.iterdir()):
        return None
    try:
        first = shards_of(path)[0]
    except DataError:
        return None
    fields = {entry.parts[-1].partition(".")[2].lower() for entry in read_tar(first, root) if entry.parts}
    shards = WebDataset(**_RULES, kind="webdataset", path=str(path), labels="none", json_key=None, attributes={})
    if "cls" in fields:
        shards = replace(shards, labels="cls")
    elif "json" in fields:
        shards = replace(shards, labels="json", json_key="label")
    elif path.is_file():
        return _folder(path)
    return Recognised(shards, "labels", "none", {"json_key": shards.json_key})


def _of_hugging_face(path: Path) -> Recognised | None:
    """Its first file must have a column of bytes, or of bytes and path."""
    try:
        file = opened(files_of(path)[0])
    except DataError:
        return None
    return _of_columns(file, path)


def _of_columns(file: ArrowFile, path: Path) -> Recognised | None:
    columns = [name for name in file.schema.names if file.schema.names.count(name) == 1]
    image = next((name for name in columns if _holds_bytes(file.schema.field(name).type)), None)
    if image is None:
        return None
    labels = [name for name in columns if name != image and is_label(file.schema.field(name).type)]
    label = next((name for name in labels if file.names(name)), None) or _label_of(labels)
    source = HuggingFace(
        **_RULES,
        kind="hugging_face",
        path=str(path),
        image_column=image,
        label_column=label,
        split="digest",
        attributes={},
    )
    return Recognised(source, "label_column", None, {"image_column": image}, () if label else tuple(labels))


def _holds_bytes(type_: Any) -> bool:
    return is_picture(type_) and "string" not in str(type_).split("<")[0]


def _label_of(columns: list[str]) -> str | None:
    """By its name, or because there is no other."""
    named = next((name for name in columns if name.lower() in _LABELS), None)
    return columns[0] if named is None and len(columns) == 1 else named


def _of_table(path: Path) -> Recognised | None:
    if path.suffix.lower() in PARQUET:
        file = opened(path)
        found = _of_columns(file, path.parent)
        if found is None or not isinstance(found.source, HuggingFace):
            return None
        return _table(path, found.source.image_column, found.source.label_column, ",", found.candidates)
    with path.open("rb") as lines:
        first = [line for line in islice(lines, _ROWS) if line.strip()]
    for delimiter in _DELIMITERS if path.suffix.lower() in CSV else ",":
        rows = list(_rows(path, first, delimiter))
        names = list(rows[0]) if rows else []
        pictures = [name for name in names if all(_is_picture(row.get(name)) for row in rows)]
        if pictures:
            others = [name for name in names if name != pictures[0]]
            label = _label_of(others)
            candidates = () if label else tuple(name for name in others if _repeats([row.get(name) for row in rows]))
            return _table(path, pictures[0], label, delimiter, candidates)
    return None


def _repeats(cells: list[Any]) -> bool:
    """Whether there are a few values, as of a class, and not one for each row."""
    return all(isinstance(cell, str | int) for cell in cells) and 2 <= len(set(cells)) <= len(cells) / 2


def table_beside(folder: Path) -> tuple[Path, Recognised] | None:
    """The table directly in a folder of pictures that names some of them, if there is one alone."""
    found = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.is_file() and file.suffix.lower() in (*CSV, *JSON):
            with suppress(DataError):
                given = _of_table(file)
                if given is not None and isinstance(given.source, PictureTable) and _names_one(file, given):
                    found.append((file, given))
    return found[0] if len(found) == 1 else None


def _names_one(file: Path, given: Recognised) -> bool:
    """Whether the first picture that a table names is there."""
    with suppress(DataError):
        return any(entry.content.path.is_file() for entry in islice(given.listing(Path()).found, 1))  # type: ignore[union-attr]
    return False


def _rows(path: Path, lines: list[bytes], delimiter: str) -> Iterator[dict[str, Any]]:
    """Those that can be read; stage prepare says of the others why not."""
    is_csv = path.suffix.lower() in CSV
    header = cells_of(lines[0].removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"), delimiter) if is_csv and lines else []
    for line in lines[1:] if is_csv else lines:
        with suppress(DataError):
            cells = cells_of(line.rstrip(b"\r\n"), delimiter) if is_csv else []
            if len(cells) == len(header):
                yield dict(zip(header, cells, strict=True)) if is_csv else object_of(line)


def _is_picture(cell: Any) -> bool:
    return isinstance(cell, str) and cell.lower().endswith(ENDINGS) and not PurePosixPath(cell).is_absolute()


def _table(
    path: Path, pictures: str, label: str | None, delimiter: str, candidates: tuple[str, ...] = ()
) -> Recognised:
    source = PictureTable(
        **_RULES,
        kind="picture_table",
        path=str(path.parent),
        table=path.name,
        picture_column=pictures,
        attributes={},
        label_column=label,
        delimiter=delimiter,
    )
    keys = {"table": path.name, "picture_column": pictures, "delimiter": delimiter}
    return Recognised(source, "label_column", None, keys, candidates)
