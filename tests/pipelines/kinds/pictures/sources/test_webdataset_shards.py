"""Shards of WebDataset: which members are a sample, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.errors import DataError, ParamsError
from tests.support.picture_sources import SHARDS, tar_bytes
from tests.support.pictures import Project, png, write

JSON = replace(SHARDS, labels="json", json_key="what")


def prepared(tmp_path: Path, files: dict[str, bytes], source: object) -> Project:
    write(tmp_path / "raw", {"0.tar": tar_bytes(files)})
    project = Project(tmp_path)
    project.source = source
    return project


def test_every_sample_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    files = {"a.png": png(1), "a.cls": b"3\n", "b.cls": b"1", "c.png": png(2), "c.jpg": png(3), "c.cls": b"1",
             "d.png": png(4), "e.webp": png(5), "e.cls": b"\xff", "f.png": png(6), "f.cls": b"", "g.seg.png": png(7),
             "g.cls": b"12"}  # fmt: skip
    project = prepared(tmp_path, files, SHARDS)
    manifest = project.prepare()
    assert {row.source: row.class_name for row in manifest.rows} == {"0.tar/a.png": "3", "0.tar/g.seg.png": "12"}
    assert manifest.spec.classes == ("3", "12")
    reasons = project.reasons()
    assert reasons.pop("0.tar/e.webp").startswith("a label that cannot be read: ")
    assert reasons == {
        "0.tar/b.cls": "a sample without a picture",
        "0.tar/c.jpg": "a sample with several pictures",
        "0.tar/c.png": "a sample with several pictures",
        "0.tar/d.png": "a sample with 0 files .cls; one must hold its label",
        "0.tar/f.png": "a sample without a label",
    }


def test_labels_in_json(tmp_path: Path) -> None:
    told = [{"what": "cat"}, {"what": 3}, {"other": 1}, {"what": True}, [1]]
    files = {}
    for number, value in enumerate(told):
        files[f"{number}.png"], files[f"{number}.json"] = png(number), json.dumps(value).encode()
    project = prepared(tmp_path, files, JSON)
    assert {row.class_name for row in project.prepare().rows} == {"cat", "3"}
    assert set(project.reasons().values()) == {"a sample without a label"}
    with pytest.raises(ParamsError, match="json_key: must be the key of the label"):
        replace(SHARDS, labels="json")


def test_one_tar_without_labels(tmp_path: Path) -> None:
    project = prepared(tmp_path, {"a/1.png": png(1), "b/1.png": png(2), "b/1.txt": b""}, None)
    project.source = replace(SHARDS, path="raw/0.tar", labels="none")
    assert {row.source: row.label for row in project.prepare().rows} == {"0.tar/a/1.png": -1, "0.tar/b/1.png": -1}


def test_what_is_no_shard_is_told(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"words.txt": b""})
    with pytest.raises(DataError, match=r"source\.path: .*/raw must hold tars, but there is none"):
        SHARDS.listing(tmp_path)
    with pytest.raises(DataError, match="must be a tar or a folder of tars, but there is a file that is none"):
        replace(SHARDS, path="raw/words.txt").listing(tmp_path)
    write(tmp_path, {"out.tar": tar_bytes({"1.png": png(1)})})
    (tmp_path / "raw" / "0.tar").symlink_to(tmp_path / "out.tar")
    with pytest.raises(DataError, match="no link that leads out of it"):
        SHARDS.listing(tmp_path)
