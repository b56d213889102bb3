"""Damaged pictures, archives and tables, from a seed: what real ones become when bytes are changed, cut or repeated."""

import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines.kinds.pictures.sources import HuggingFace, ImageFolder, PictureTable, WebDataset

_RULES: dict[str, Any] = {
    "resolution": 8, "channels": "rgb", "fit": "crop", "filter": "box", "background": (255, 255, 255),
    "min_side": 4, "max_megapixels": 1.0, "max_megabytes": 1.0, "clusters": None,
}  # fmt: skip
_FOLDER = ImageFolder(**_RULES, kind="image_folder", path="raw", labels="folders")
_TABLE = PictureTable(
    **_RULES, kind="picture_table", path="raw", table="labels.csv", picture_column="file", label_column="what",
    delimiter=",", attributes={"kind": "what"},
)  # fmt: skip
_HUGGING_FACE = HuggingFace(
    **_RULES,
    kind="hugging_face",
    path="raw",
    image_column="image",
    label_column="label",
    split="digest",
    attributes={"kind": "label"},
)
_SHARDS = WebDataset(**_RULES, kind="webdataset", path="raw", labels="cls", json_key=None, attributes={})

FORMS = ("picture", "zip", "tar", "tar.gz", "tar.xz", "csv", "jsonl", "parquet", "arrow", "shards")
_COMPRESS: dict[str, Callable[[bytes], bytes]] = {"tar.gz": gzip.compress, "tar.xz": lzma.compress}
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

Source = Any


def pictures(rng: np.random.Generator, n: int) -> list[tuple[str, bytes]]:
    """Real small pictures of every format."""
    made = []
    for number in range(n):
        kind = _FORMATS[int(rng.integers(len(_FORMATS)))]
        side = int(rng.integers(8, 24))
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(stream := io.BytesIO(), kind)
        made.append((f"{'ab'[number % 2]}/{number}.{kind.lower()}", stream.getvalue()))
    return made


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """One to four changes, at different places, more often near the ends, where heads and lists are."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not found:
            return b""
        place = int(rng.integers(len(found)))
        if rng.random() < 0.5:
            place = min(place, 600) if rng.random() < 0.5 else max(place, len(found) - 600)
        _CHANGES[int(rng.integers(len(_CHANGES)))](rng, found, place)
    return bytes(found)


def _flip(rng: np.random.Generator, data: bytearray, place: int) -> None:
    data[place] ^= 1 << int(rng.integers(8))


def _word(rng: np.random.Generator, data: bytearray, place: int) -> None:
    word = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"../.")
    data[place : place + 4] = word[int(rng.integers(len(word)))]


def _cut(rng: np.random.Generator, data: bytearray, place: int) -> None:
    del data[place:]


def _drop(rng: np.random.Generator, data: bytearray, place: int) -> None:
    del data[place : place + int(rng.integers(1, 64))]


def _repeat(rng: np.random.Generator, data: bytearray, place: int) -> None:
    data[place:place] = data[place : place + int(rng.integers(1, 256))]


def _random(rng: np.random.Generator, data: bytearray, place: int) -> None:
    data[place : place + 16] = rng.bytes(16)


_CHANGES: tuple[Callable[[np.random.Generator, bytearray, int], None], ...] = (
    _flip, _word, _cut, _drop, _repeat, _random,
)  # fmt: skip


def hostile_input(form: str, seed: int, root: Path) -> tuple[Source, Path]:
    """Write one damaged input to `root`/raw; the source that reads it, and the file that was damaged."""
    rng = np.random.Generator(np.random.Philox(key=[seed, FORMS.index(form)]))
    raw = root / "raw"
    raw.mkdir(parents=True)
    source, files = _whole(form, pictures(rng, 4))
    name = next(iter(files))
    files[name] = damaged(rng, files[name])
    if form in _COMPRESS and rng.random() < 0.5:  # damaged before it was compressed, so that no checksum tells
        whole = _tar(dict(pictures(rng, 4)))
        files[name] = _COMPRESS[form](damaged(rng, whole))
    for each, data in files.items():
        (raw / each).parent.mkdir(parents=True, exist_ok=True)
        (raw / each).write_bytes(data)
    return source, raw / name


def _whole(form: str, found: list[tuple[str, bytes]]) -> tuple[Source, dict[str, bytes]]:
    """A source and its files, of which the first is to be damaged."""
    rows = [(data, number % 2) for number, (_, data) in enumerate(found)]
    if form == "picture":
        return replace(_FOLDER, resolution=(12, 8), channels="rgba"), dict(found)
    if form == "zip":
        return replace(_FOLDER, path="raw/all.zip"), {"all.zip": _zip(found)}
    if form.startswith("tar"):
        mode = "w" if form == "tar" else f"w:{form[4:]}"
        return replace(_FOLDER, path=f"raw/all.{form}"), {f"all.{form}": _tar(dict(found), mode)}
    if form == "csv":
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([("file", "what"), *((name, name[0]) for name, _ in found)])
        return _TABLE, {"labels.csv": stream.getvalue().encode(), **dict(found)}
    if form == "jsonl":
        lines = "".join(f'{{"file": "{name}", "what": "{name[0]}"}}\n' for name, _ in found)
        return replace(_TABLE, table="labels.jsonl"), {"labels.jsonl": lines.encode(), **dict(found)}
    if form == "shards":
        members = {}
        for number, (_, data) in enumerate(found):
            members[f"{number}.png"], members[f"{number}.cls"] = data, b"%d" % (number % 2)
        return _SHARDS, {"0.tar": _tar(members)}
    return _arrow(form, _rows_of(rows))


def _tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _rows_of(pictures: list[tuple[bytes, int]]) -> pa.Table:
    """As `datasets` writes an Image and a ClassLabel."""
    image = pa.array([{"bytes": data, "path": None} for data, _ in pictures],
                     pa.struct([("bytes", pa.binary()), ("path", pa.string())]))  # fmt: skip
    features = {"image": {"_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    table = pa.table({"image": image, "label": [label for _, label in pictures]})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _zip(found: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in found:
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def _arrow(form: str, table: pa.Table) -> tuple[HuggingFace, dict[str, bytes]]:
    stream = io.BytesIO()
    if form == "parquet":
        pq.write_table(table, stream, row_group_size=2)
        return _HUGGING_FACE, {"train.parquet": stream.getvalue()}
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return _HUGGING_FACE, {"0.arrow": stream.getvalue(), "state.json": b'{"_data_files": [{"filename": "0.arrow"}]}'}
