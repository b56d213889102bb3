"""Several sources together: classes by name, merged or chosen, and labels that only some have."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.pictures.sources import Several
from pipelines.kinds.pictures.sources.several import Classes
from tests.support.picture_sources import TABLE, tar_bytes
from tests.support.pictures import FOLDER, Project, png, write

ALL = Classes(None, {})
LABELLED, FLAT = replace(FOLDER, path="a"), replace(FOLDER, path="b", labels="none")


def several(tmp_path: Path, classes: Classes, *sources: Any, unlabelled: Any = "refuse") -> Project:
    write(tmp_path / "raw", {"a/cat/1.png": png(1), "a/dog/1.png": png(2), "b/1.png": png(3), "b/2.png": b"broken"})
    (tmp_path / "raw" / "c.tar").write_bytes(tar_bytes({"dog/1.png": png(4), "fox/1.png": png(5), "fox/2.png": b""}))
    project = Project(tmp_path)
    project.source = Several("several", "raw", unlabelled, classes, sources)
    return project


def classes_of(project: Project) -> dict[str, str]:
    return {row.source: row.class_name for row in project.prepare().rows}


def test_classes_of_one_name_are_one_class_and_names_tell_the_source(tmp_path: Path) -> None:
    project = several(tmp_path, ALL, LABELLED, replace(FOLDER, path="c.tar"))
    assert classes_of(project) == {
        "a/cat/1.png": "cat",
        "a/dog/1.png": "dog",
        "c.tar/dog/1.png": "dog",
        "c.tar/fox/1.png": "fox",
    }
    assert project.reasons() == {"c.tar/fox/2.png": "an empty file"}


def test_classes_are_merged_and_chosen_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    classes = Classes(("pet",), {"pet": ("cat", "dog")})
    project = several(tmp_path, classes, LABELLED, replace(FOLDER, path="c.tar"))
    listing = project.source.listing(tmp_path)
    assert (listing.classes, listing.ignored, len(listing.found)) == (("pet",), 2, 3)
    assert set(classes_of(project).values()) == {"pet"}


def test_one_source_is_several_too(tmp_path: Path) -> None:
    project = several(tmp_path, Classes(("dog",), {}), replace(FOLDER, path="."))
    project.source = replace(project.source, path="raw/a")
    assert classes_of(project) == {"dog/1.png": "dog"}


@pytest.mark.parametrize(
    ("unlabelled", "accepted", "reasons"),
    [
        ("quarantine", {"a/cat/1.png": "cat", "a/dog/1.png": "dog"}, {"b/1.png", "b/2.png"}),
        ("drop_labels", {"a/cat/1.png": "", "a/dog/1.png": "", "b/1.png": ""}, {"b/2.png"}),
    ],
)
def test_sources_without_labels_beside_others_are_refused_unless_chosen(
    tmp_path: Path, unlabelled: str, accepted: dict[str, str], reasons: set[str]
) -> None:
    with pytest.raises(DataError, match=r"all or none must have labels, but sources\[1\] has none"):
        several(tmp_path, ALL, LABELLED, FLAT).prepare()
    project = several(tmp_path, ALL, LABELLED, FLAT, unlabelled=unlabelled)
    assert (classes_of(project), set(project.reasons())) == (accepted, reasons)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (Classes(("cow", "cat"), {}), r"source\.classes\.keep: must name classes of the sources, got 'cow'"),
        (Classes(None, {"pet": ("cat", "cow")}), r"source\.classes\.merge: .* got 'cow'; there are \['cat', 'dog'\]"),
        (Classes(("cow",), {}), r"source\.classes\.keep: must name a class with pictures"),
    ],
)
def test_a_class_that_no_source_has_is_told(tmp_path: Path, classes: Classes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        several(tmp_path, classes, LABELLED).prepare()


def test_classes_are_not_chosen_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"source\.classes: must be `keep: null`"):
        several(tmp_path, Classes(("cat",), {}), FLAT).prepare()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (((), {}), "keep: must be null"),
        ((("a", "a"), {}), "keep: must be null"),
        ((None, {"a": ()}), "merge: must be new names"),
        ((None, {"a": ("b",), "c": ("b",)}), "merge: must be new names"),
        ((("b",), {"a": ("b",)}), "keep: must be names after merging, got 'b'"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        Classes(*values)


def test_sources_must_lie_below_the_folder_and_have_equal_rules() -> None:
    for path in ("/a", "../a"):
        with pytest.raises(ParamsError, match=r"sources\[1\]\.path: must be relative to source\.path"):
            Several("several", "raw", "refuse", ALL, (FOLDER, replace(FOLDER, path=path)))
    with pytest.raises(ParamsError, match=r"sources\[1\]: must have the rules of sources\[0\], .*; other: size, fit"):
        Several("several", "raw", "refuse", ALL, (FOLDER, replace(TABLE, resolution=16, fit="pad")))
