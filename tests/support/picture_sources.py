"""The same small pictures in every form that a source reads."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.kinds.pictures.sources import HuggingFace, PictureTable, WebDataset
from tests.support.pictures import png

RULES: dict[str, Any] = {
    "resolution": 8,
    "channels": "rgb",
    "fit": "crop",
    "filter": "box",
    "background": (255, 255, 255),
    "min_side": 4,
    "max_megapixels": 1.0,
    "max_megabytes": 1.0,
    "clusters": None,
}
PICTURES: dict[str, bytes] = {
    "cat/1.png": png(1),
    "cat/2.png": png(2),
    "dog/1.png": png(3),
    "dog/2.png": png(4),
    "dog/3.png": b"no picture",
}
TABLE = PictureTable(
    **RULES,
    kind="picture_table",
    path="raw",
    table="labels.csv",
    picture_column="file",
    attributes={},
    label_column="what",
    delimiter=",",
)
HUGGING_FACE = HuggingFace(
    **RULES, kind="hugging_face", path="raw", image_column="image", label_column="label", split="digest", attributes={}
)
SHARDS = WebDataset(**RULES, kind="webdataset", path="raw", labels="cls", json_key=None, attributes={})


def tar_bytes(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def hugging_face_table(pictures: Sequence[tuple[bytes | None, int | None]], names: Sequence[str] | None) -> pa.Table:
    """As `datasets` writes an Image and a ClassLabel."""
    image = pa.array(
        [None if data is None else {"bytes": data, "path": None} for data, _ in pictures],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": image, "label": pa.array([label for _, label in pictures], pa.int64())})
    features: dict[str, Any] = {"image": {"_type": "Image"}, "label": {"dtype": "int64", "_type": "Value"}}
    if names is not None:
        features["label"] = {"names": list(names), "_type": "ClassLabel"}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def labelled_rows(names: Sequence[str]) -> list[tuple[bytes | None, int | None]]:
    return [(data, list(names).index(name.split("/")[0])) for name, data in PICTURES.items()]


def save_parquet(path: Path, table: pa.Table, rows: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)
    return path


def save_to_disk(folder: Path, table: pa.Table) -> Path:
    """As `Dataset.save_to_disk` does."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def shard_members() -> dict[str, bytes]:
    """Each picture with its class in a file beside it."""
    members = {}
    for number, (name, data) in enumerate(PICTURES.items()):
        members[f"{number:04d}.png"] = data
        members[f"{number:04d}.cls"] = name.split("/")[0].encode()
    return members
