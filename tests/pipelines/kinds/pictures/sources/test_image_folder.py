"""A folder or a zip of pictures: what is listed, in which order, what is ignored and what is refused."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.pictures.rows.rules import SourcePicture
from pipelines.kinds.quarantine import read_quarantine
from tests.support.pictures import FOLDER, Project, png, write


def names(found: "list[SourcePicture] | tuple[SourcePicture, ...]") -> list[tuple[str, str | None]]:
    return [(picture.name, picture.class_name) for picture in found]


def test_sub_folders_are_classes_and_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"dog/2.png": b"", "cat/deep/1.png": b"", "dog/10.png": b"", "überall/a.png": b""})
    listing = FOLDER.listing(tmp_path)
    assert listing.classes == ("cat", "dog", "überall")
    assert names(list(listing.found)) == [
        ("cat/deep/1.png", "cat"),
        ("dog/10.png", "dog"),
        ("dog/2.png", "dog"),
        ("überall/a.png", "überall"),
    ]


def test_without_labels_every_file_counts_wherever_it_lies(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"1.png": b"", "x/2.png": b""})
    listing = replace(FOLDER, labels="none").listing(tmp_path)
    assert listing.classes == ()
    assert names(list(listing.found)) == [("1.png", None), ("x/2.png", None)]


def test_hidden_files_and_litter_are_ignored_and_counted(tmp_path: Path) -> None:
    litter = [".DS_Store", "a/._1.png", "a/Thumbs.db", "a/desktop.ini", ".git/config", "__MACOSX/a/1.png"]
    write(tmp_path / "raw", {"a/1.png": b"", **dict.fromkeys(litter, b"")})
    listing = FOLDER.listing(tmp_path)
    assert names(list(listing.found)) == [("a/1.png", "a")]
    assert listing.ignored == len(litter)


def test_links_inside_of_the_folder_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", {"a/1.png": png(1), "b/2.png": png(2)})
    (raw / "c").symlink_to(raw / "b")
    (raw / "a" / "linked.png").symlink_to(Path("..", "b", "2.png"))
    (raw / "a" / "circle").symlink_to(raw)
    (raw / "b" / "to-a").symlink_to(raw / "a")
    (raw / "a" / "to-b").symlink_to(raw / "b")
    found = names(list(FOLDER.listing(tmp_path).found))
    assert found == [
        ("a/1.png", "a"),
        ("a/linked.png", "a"),
        ("a/to-b/2.png", "a"),
        ("b/2.png", "b"),
        ("b/to-a/1.png", "b"),
        ("b/to-a/linked.png", "b"),
        ("c/2.png", "c"),
        ("c/to-a/1.png", "c"),
        ("c/to-a/linked.png", "c"),
    ]


def test_a_source_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"a/1.png": png(1)})
    (tmp_path / "raw").symlink_to(tmp_path / "elsewhere")
    project = Project(tmp_path)
    assert len(project.prepare().rows) == 1
    assert project.reasons() == {}


SECRET = b"root:x:0:0:secret"


@pytest.mark.parametrize("target", ["absolute", "relative"])
def test_links_that_lead_out_of_the_folder_are_refused_by_name_and_never_copied(tmp_path: Path, target: str) -> None:
    outside = write(tmp_path / "outside", {"passwd": SECRET, "pictures/1.png": png(9), "raw2/2.png": png(8)})
    raw = write(tmp_path / "raw", {"a/1.png": png(1)})

    def linked(name: str, to: str) -> None:
        (raw / name).symlink_to(
            outside / to if target == "absolute" else Path("../" * (name.count("/") + 1), "outside", to)
        )

    linked("a/passwd", "passwd")
    linked("a/good.png", "pictures/1.png")  # a picture that could be used is refused as well
    linked("a/deep", "pictures")
    linked("b", "pictures")
    (raw / "a" / "by-a-link").symlink_to("passwd")  # inside, but what it leads to is a link out
    (tmp_path / "raw-too").mkdir()
    (raw / "a" / "neighbour").symlink_to(tmp_path / "raw-too")  # its name begins as the source's does
    project = Project(tmp_path)
    manifest = project.prepare()
    assert [row.source for row in manifest.rows] == ["a/1.png"]
    assert manifest.spec.classes == ("a",)
    refused = ["a/by-a-link", "a/deep", "a/good.png", "a/neighbour", "a/passwd", "b"]
    assert sorted(project.reasons()) == refused
    assert all("a link that leads out of source.path" in reason for reason in project.reasons().values())
    for line in read_quarantine(project.paths.quarantine):
        assert (line["sha256"], line["copy"]) == (None, None)
    assert [path.name for path in project.paths.quarantine.iterdir()] == ["quarantine.jsonl"]
    written = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert SECRET not in written
    assert str(outside).encode() not in written


def test_a_link_that_is_changed_after_the_folder_was_listed_is_not_followed_out_of_it(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"1.png": png(9), "2.png": png(8)})
    raw = write(tmp_path / "raw", {"a/1.png": png(1), "a/deep/2.png": png(2)})
    first, second = (found.content for found in FOLDER.listing(tmp_path).found)
    (raw / "a" / "1.png").unlink()
    (raw / "a" / "1.png").symlink_to(outside / "1.png")
    (raw / "a" / "deep").rename(raw / "a" / "old")
    (raw / "a" / "deep").symlink_to(outside)
    for content in (first, second):
        with pytest.raises(DataError, match=r"leads out of source\.path"):
            content.read(10_000)  # type: ignore[union-attr]


def test_a_folder_of_nothing_but_links_out_of_it_says_so(tmp_path: Path) -> None:
    write(tmp_path / "outside", {"cats/1.png": png(1)})
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "cats").symlink_to(tmp_path / "outside" / "cats")
    with pytest.raises(DataError, match=r"source\.path: .*/raw must hold .* all 1 entries in it are links"):
        FOLDER.listing(tmp_path)


def test_class_folders_without_a_picture_are_told_and_are_no_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = write(tmp_path / "raw", {"cat/1.png": png(1), "litter/Thumbs.db": b"", ".hidden/x": b""})
    (raw / "empty" / "deep").mkdir(parents=True)
    listing = FOLDER.listing(tmp_path)
    assert (listing.classes, listing.empty) == (("cat",), ("empty", "litter"))
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr("pets/cat/1.png", png(1))
        archive.mkdir("pets/empty")
    assert replace(FOLDER, path="raw.zip").listing(tmp_path).empty == ("empty",)
    assert replace(FOLDER, labels="none").listing(tmp_path).empty == ()
    manifest = Project(tmp_path).prepare()
    assert manifest.empty_folders == ("empty", "litter")
    assert "class folder empty holds no example" in caplog.text


def test_names_that_are_no_utf8_are_shown_with_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "a"
    folder.mkdir(parents=True)
    with open(os.path.join(os.fsencode(folder), b"\xff.png"), "wb") as file:
        file.write(png(1))
    assert names(list(FOLDER.listing(tmp_path).found)) == [("a/\\xff.png", "a")]


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", {"a/1.png": png(1), "a/large.png": bytes(1_000_001)})
    (raw / "a" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(raw / "a" / "pipe.png")
    project = Project(tmp_path)
    assert len(project.prepare().rows) == 1
    assert project.reasons() == {
        "a/broken.png": "a link whose target is missing",
        "a/large.png": "1000001 bytes, more than the 1000000 that max_megabytes allows",
        "a/pipe.png": "not a regular file",
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "raw must be a folder, a zip or a tar of pictures, but there is nothing"),
        ({}, "raw must hold pictures, but no file in it is to be looked at"),
        ({".DS_Store": b""}, "raw must hold pictures, but no file in it is to be looked at"),
        ({"1.png": b""}, "labels: folders needs a sub-folder for each class .* set `labels: none`"),
    ],
)
def test_a_source_without_pictures_is_told(tmp_path: Path, files: dict[str, bytes] | None, message: str) -> None:
    if files is not None:
        (tmp_path / "raw").mkdir()
        write(tmp_path / "raw", files)
    with pytest.raises(DataError, match=message):
        FOLDER.listing(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("path", " ", "path: must be the path of a folder, a zip or a tar"),
        ("resolution", 0, r"resolution: must be at least 1, or .*, got 0"),
        ("background", (0, 0, 256), "background: must be three levels of 0 to 255"),
        ("min_side", 0, "min_side: must be at least 1"),
        ("max_megapixels", 0.0, "max_megapixels: must be above 0"),
        ("max_megabytes", -1.0, "max_megabytes: must be above 0"),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        replace(FOLDER, **{field: value})  # type: ignore[arg-type]


def test_the_folders_of_a_split_say_the_side_and_those_in_them_the_class(tmp_path: Path) -> None:
    kept = ["train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "Test/dog/deep/4.png"]
    write(tmp_path / "raw", dict.fromkeys([*kept, "train/5.png", "more/cat/6.png", "7.png"], b""))
    listing = replace(FOLDER, labels="split_folders").listing(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert [(each.name, each.class_name, each.split) for each in listing.found] == [
        ("7.png", None, None),
        ("Test/dog/deep/4.png", "dog", "test"),
        ("more/cat/6.png", None, None),
        ("train/5.png", None, "train"),
        ("train/cat/1.png", "cat", "train"),
        ("train/dog/2.png", "dog", "train"),
        ("val/cat/3.png", "cat", "test"),
    ]


@pytest.mark.parametrize(("names", "said"), [(("cat/1.png",), "one of train"), (("train/cat/1.png",), "test or val")])
def test_a_split_without_both_sides_is_refused(names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    write(tmp_path / "raw", dict.fromkeys(names, b""))
    with pytest.raises(DataError, match=f"split_folders needs folders of classes in a folder {said}"):
        replace(FOLDER, labels="split_folders").listing(tmp_path)
