"""A zip of pictures is read like a folder; what is damaged, encrypted or leads out of it is refused."""

import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.errors import DataError
from pipelines.kinds.pictures.rows.rules import Member
from pipelines.kinds.quarantine import read_quarantine
from tests.pipelines.kinds.pictures.sources.test_image_folder import names
from tests.support.pictures import FOLDER, Project, png, write


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_links_inside_a_zip_are_refused_by_name_and_never_copied(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr("a/1.png", png(1))
        for name, target in (("a/absolute", "/etc/passwd"), ("a/up.png", "../../x.png"), ("a/beside.png", "1.png")):
            link = zipfile.ZipInfo(name)
            link.create_system = 3
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
        pipe = zipfile.ZipInfo("a/pipe")
        pipe.external_attr = (stat.S_IFIFO | 0o644) << 16
        archive.writestr(pipe, b"")
    project = Project(tmp_path, path="raw.zip")
    assert [row.source for row in project.prepare().rows] == ["a/1.png"]
    assert sorted(project.reasons()) == ["a/absolute", "a/beside.png", "a/pipe", "a/up.png"]
    assert all("inside its zip" in reason for reason in project.reasons().values())
    for line in read_quarantine(project.paths.quarantine):
        assert (line["sha256"], line["copy"]) == (None, None)


def test_a_zip_is_read_like_the_folder_it_was_made_of(tmp_path: Path) -> None:
    files = {"cat/1.png": png(1), "dog/2.png": png(2), "dog/.hidden": b""}
    write(tmp_path / "raw", files)
    zipped(tmp_path / "raw.zip", files)
    folder, archive = FOLDER.listing(tmp_path), replace(FOLDER, path="raw.zip").listing(tmp_path)
    assert names(list(archive.found)) == names(list(folder.found))
    assert archive.classes == folder.classes
    for a, b in zip(archive.found, folder.found, strict=True):
        assert a.content.read(10_000) == b.content.read(10_000)  # type: ignore[union-attr]


def test_a_zip_of_one_outer_folder_is_read_from_inside_of_it(tmp_path: Path) -> None:
    zipped(tmp_path / "pets.zip", {"pets/cat/1.png": b"x", "pets/dog/2.png": b"x", "__MACOSX/pets/._x": b""})
    assert replace(FOLDER, path="pets.zip").listing(tmp_path).classes == ("cat", "dog")


def test_a_zip_of_one_class_keeps_its_class(tmp_path: Path) -> None:
    zipped(tmp_path / "one.zip", {"cat/1.png": b"x", "cat/2.png": b"x"})
    assert replace(FOLDER, path="one.zip").listing(tmp_path).classes == ("cat",)


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:/out.png", "a\\..\\out.png"])
def test_a_zip_whose_names_lead_out_of_it_is_refused(tmp_path: Path, name: str) -> None:
    zipped(tmp_path / "bad.zip", {"a/1.png": png(1), name: png(2)})
    with pytest.raises(
        DataError, match=r"every name in .*bad\.zip must lie inside the zip, but one is .*; the zip is ref"
    ):
        replace(FOLDER, path="bad.zip").listing(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip"]


def test_members_of_a_zip_are_limited_damaged_or_encrypted_ones_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "raw.zip", {"a/ok.png": png(1), "a/bomb.png": bytes(50_000_000)})
    project = Project(tmp_path, path="raw.zip")
    assert len(project.prepare().rows) == 1
    assert project.reasons() == {"a/bomb.png": "50000000 bytes, more than the 1000000 that max_megabytes allows"}
    raw = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + offset] |= 1  # the flag that says encrypted
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"all 2 were refused; the first: a/bomb\.png"):
        project.prepare()


def test_an_encrypted_member_of_a_zip_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "raw.zip", {"a/1.png": png(1)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flag that says encrypted
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"^encrypted inside its zip$"):
        Member(path, 0).read(1000)


def test_a_zip_without_a_list_of_its_members_is_told(tmp_path: Path) -> None:
    path = zipped(tmp_path / "raw.zip", {"a/1.png": png(1)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02")] = 0
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"source\.path: .*raw\.zip must be a zip that can be read, but "):
        replace(FOLDER, path="raw.zip").listing(tmp_path)


def test_a_damaged_member_of_a_zip_is_quarantined(tmp_path: Path) -> None:
    path = zipped(tmp_path / "raw.zip", {"a/1.png": png(1), "a/2.png": png(2)})
    raw = bytearray(path.read_bytes())
    raw[60] ^= 0xFF  # inside the first member's data
    path.write_bytes(raw)
    project = Project(tmp_path, path="raw.zip")
    assert len(project.prepare().rows) == 1
    assert list(project.reasons()) == ["a/1.png"]
    assert project.reasons()["a/1.png"].startswith("damaged inside its zip: ")


def test_a_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"words")
    with pytest.raises(
        DataError, match="must be a folder, a zip or a tar of pictures, but there is a file that is neither"
    ):
        FOLDER.listing(tmp_path)
