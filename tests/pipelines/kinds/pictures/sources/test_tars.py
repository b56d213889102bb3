"""A tar of pictures is read like a folder; what is damaged, a link, or leads out of it is refused."""

import gzip
import io
import lzma
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.errors import DataError
from pipelines.kinds.pictures.sources import tar_files
from pipelines.kinds.quarantine import read_quarantine
from tests.support.picture_sources import tar_bytes
from tests.support.pictures import FOLDER, Project, png

TAR = replace(FOLDER, path="raw.tar")
FILES = {"a/1.png": png(1), "b/2.png": png(2)}


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDPM_HOME", raising=False)


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:/out.png", "a\\..\\out.png"])
def test_a_tar_whose_names_lead_out_of_it_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "raw.tar").write_bytes(tar_bytes({"a/1.png": png(1), name: png(2)}))
    with pytest.raises(DataError, match=r"every name in .*raw\.tar must lie inside the tar, but one is .*; the tar is"):
        TAR.listing(tmp_path)


def test_links_and_devices_inside_a_tar_are_refused_by_name_and_never_copied(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "raw.tar", "w") as archive:
        good = tarfile.TarInfo("a/1.png")
        good.size = len(png(1))
        archive.addfile(good, io.BytesIO(png(1)))
        for name, kind in (("a/soft", tarfile.SYMTYPE), ("a/hard", tarfile.LNKTYPE), ("a/pipe", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    project = Project(tmp_path, path="raw.tar")
    assert [row.source for row in project.prepare().rows] == ["a/1.png"]
    assert project.reasons() == {
        "a/hard": "a link inside its tar; it is not followed (pack the picture itself)",
        "a/pipe": "not a regular file inside its tar",
        "a/soft": "a link inside its tar; it is not followed (pack the picture itself)",
    }
    assert all((line["sha256"], line["copy"]) == (None, None) for line in read_quarantine(project.paths.quarantine))


def test_a_flat_tar_and_one_of_an_outer_folder(tmp_path: Path) -> None:
    (tmp_path / "flat.tar").write_bytes(tar_bytes({"1.png": png(1), "./2.png": png(2), ".hidden": b""}))
    listing = replace(FOLDER, path="flat.tar", labels="none").listing(tmp_path)
    assert ([found.name for found in listing.found], listing.ignored) == (["1.png", "2.png"], 1)
    (tmp_path / "outer.tar").write_bytes(tar_bytes({"pets/cat/1.png": b"x", "pets/dog/2.png": b"x"}))
    assert replace(FOLDER, path="outer.tar").listing(tmp_path).classes == ("cat", "dog")


@pytest.mark.parametrize(("beyond", "message"), [(-1, "unexpected end"), (0, "ends without the two blocks of zeros")])
def test_a_tar_that_is_cut_off_is_refused_whole(tmp_path: Path, beyond: int, message: str) -> None:
    """Inside the last picture, and behind it."""
    whole = tar_bytes(FILES)
    end = whole.index(b"b/2.png") + 512 + -(-len(png(2)) // 512) * 512
    (tmp_path / "raw.tar").write_bytes(whole[: end + beyond])
    with pytest.raises(DataError, match=message):
        TAR.listing(tmp_path)


def test_a_damaged_header_is_no_end(tmp_path: Path) -> None:
    """tarfile alone would list the members before it, and be silent of the others."""
    whole = bytearray(tar_bytes(FILES))
    place = whole.index(b"b/2.png")
    whole[place + 150] ^= 0xFF
    (tmp_path / "raw.tar").write_bytes(whole)
    with pytest.raises(DataError, match=f"damaged at byte {place}, or something follows its end"):
        TAR.listing(tmp_path)
    (tmp_path / "raw.tar").write_bytes(tar_bytes(FILES) + tar_bytes(FILES))
    with pytest.raises(DataError, match="something follows its end"):
        TAR.listing(tmp_path)


def test_a_header_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 50_000_000
    (tmp_path / "raw.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(50_000_000) + tar_bytes(FILES))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="a header of 50000"):
            TAR.listing(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("opened", [gzip.compress, lzma.compress])
def test_a_compressed_tar_may_not_become_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: object
) -> None:
    monkeypatch.setattr(tar_files, "_SMALL", 1_000_000)
    (tmp_path / "raw.tar").write_bytes(opened(tar_bytes({"a/bomb.png": bytes(8_000_000)})))  # type: ignore[operator]
    with pytest.raises(DataError, match=r"must not become more than [0-9]+ bytes when decompressed"):
        TAR.listing(tmp_path)
    assert list((tmp_path / ".ddpm" / "sources").iterdir()) == []


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_compressed_tar_that_is_cut_off_is_refused(tmp_path: Path, mode: str) -> None:
    whole = tar_bytes(FILES, mode)
    (tmp_path / "raw.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="must be a tar that can be decompressed"):
        TAR.listing(tmp_path)


def test_streams_of_xz_one_after_another_are_one_tar(tmp_path: Path) -> None:
    whole = tar_bytes(FILES)
    (tmp_path / "raw.tar").write_bytes(lzma.compress(whole[:700]) + lzma.compress(whole[700:]))
    assert [found.name for found in TAR.listing(tmp_path).found] == ["a/1.png", "b/2.png"]


def test_a_tar_that_changes_under_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "raw.tar").write_bytes(tar_bytes(FILES))
    found = TAR.listing(tmp_path).found
    (tmp_path / "raw.tar").write_bytes(tar_bytes({**FILES, "c/3.png": png(3)}) + bytes(10_240))
    with pytest.raises(DataError, match=r"raw\.tar was changed while it was read"):
        found[0].content.read(10_000)  # type: ignore[union-attr]


def test_a_compressed_tar_is_decompressed_once(tmp_path: Path) -> None:
    (tmp_path / "raw.tar").write_bytes(tar_bytes(FILES, "w:gz"))
    TAR.listing(tmp_path)
    (copy,) = (tmp_path / ".ddpm" / "sources").iterdir()
    before = copy.stat().st_mtime_ns
    TAR.listing(tmp_path)
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == (tar_bytes(FILES), before)
