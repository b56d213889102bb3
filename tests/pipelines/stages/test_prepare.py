"""Stage prepare: every picture is accounted for, no pixels lie on both sides, equal sources give equal bytes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddpm_core.errors import DataError
from ddpm_core.files import sha256_file
from pipelines.kinds.pictures.rows import prepare as of_pictures
from pipelines.kinds.pictures.rows.decode import read_png
from pipelines.runtime.worker_pool import Died, map_in_workers
from tests.support.pictures import Project, bomb, file_bytes, noise, png, write

GOOD = {f"{name}/{number}.png": png(10 * number + index) for index, name in enumerate("ab") for number in range(8)}


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_kind_of_picture_is_converted_or_quarantined_with_a_reason(tmp_path: Path) -> None:
    image = Image.fromarray(noise(1))
    good = {
        "a/plain.png": png(1),
        "a/cmyk.jpg": file_bytes(image.convert("CMYK"), "JPEG"),
        "a/sixteen.png": file_bytes(Image.fromarray(noise(2, channels=1).astype(np.uint16) * 257), "PNG"),
        "a/clear.png": file_bytes(Image.new("RGBA", (12, 12), (1, 2, 3, 100)), "PNG"),
        "b/Größe – 猫.png": png(3),
    }
    bad = {
        "a/one.png": png(4, side=1),
        "a/words.png": b"a renamed text file",
        "a/cut.png": png(5)[:80],
        "a/bomb.png": bomb(3_000),
        "b/empty.jpg": b"",
        "stray.png": png(6),
    }
    write(tmp_path / "raw", {**good, **bad})
    project = Project(tmp_path)
    manifest = project.prepare()
    assert {row.source for row in manifest.rows} == set(good)
    assert set(project.reasons()) == set(bad)
    assert project.reasons()["stray.png"] == "lies outside of the class folders"
    assert all(project.reasons().values())
    counts = manifest.counts
    assert (counts.found, counts.accepted, counts.quarantined) == (11, 5, 6)
    sixteen = next(row for row in manifest.rows if row.source == "a/sixteen.png")
    assert sixteen.std > 20  # not whitened


def test_what_the_manifest_says_of_a_picture_is_what_lies_on_disk(tmp_path: Path) -> None:
    write(tmp_path / "raw", GOOD)
    project = Project(tmp_path)
    manifest = project.prepare()
    assert len(list(project.paths.prepared.rglob("*.png"))) == len(manifest.rows) == len(GOOD)
    for row in manifest.rows:
        path = project.paths.prepared / row.path
        pixels = read_png(path)
        assert row.path == f"{row.label}/{row.key}.png"
        assert manifest.spec.classes[row.label] == row.class_name == row.source[0]
        assert sha256_file(path) == row.sha256
        assert of_pictures.pixels_digest(pixels) == row.content_sha256
        assert sha256_file(tmp_path / "raw" / row.source) == row.source_sha256
        assert pixels.shape == manifest.spec.shape == (3, row.height, row.width)
        assert (row.mean, row.std) == pytest.approx((pixels.mean(), pixels.std()), abs=1e-5)
        assert (row.min, row.max) == (pixels.min(), pixels.max())


def test_rows_come_in_the_order_of_their_keys_whatever_the_names(tmp_path: Path) -> None:
    orders = []
    for names in ("01234567", "76543210"):
        (tmp_path / names).mkdir()
        write(tmp_path / names / "raw", {f"a/{name}.png": png(number) for number, name in enumerate(names)})
        orders.append([row.key for row in Project(tmp_path / names).prepare().rows])
    assert orders[0] == orders[1] == sorted(orders[0])


def test_pixels_in_another_place_or_shape_are_another_picture() -> None:
    picture = np.arange(2 * 4 * 8, dtype=np.uint8).reshape(2, 4, 8)
    others = (picture[::-1], picture[:, ::-1], picture[:, :, ::-1], picture.reshape(2, 8, 4), picture.swapaxes(1, 2))
    digests = [of_pictures.pixels_digest(each) for each in (picture, *others)]
    assert len(set(digests)) == len(digests)
    assert of_pictures.pixels_digest(picture.copy()) == digests[0]


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "raw", {**GOOD, "a/bad.png": b"words"})
    project = Project(tmp_path)
    project.prepare()
    first = tree(tmp_path / "data")
    project.prepare()
    assert tree(tmp_path / "data") == first
    other = tmp_path / "other"
    other.mkdir()
    write(other / "raw", {**GOOD, "a/bad.png": b"words"})
    Project(other).prepare()
    assert tree(other / "data") == first


def test_adding_pictures_moves_none_to_the_other_side(tmp_path: Path) -> None:
    write(tmp_path / "raw", GOOD)
    project = Project(tmp_path)
    before = {row.key: row.split for row in project.prepare().rows}
    write(tmp_path / "raw", {f"{name}/0{number}.png": png(1000 + number) for name in "0abc" for number in range(9)})
    after = {row.key: row.split for row in project.prepare().rows}
    assert len(after) > len(before)
    assert {key: after[key] for key in before} == before


def test_copies_are_kept_under_keys_of_their_own_on_one_side(tmp_path: Path) -> None:
    copies = {f"a/{number}.png": png(number % 5) for number in range(20)}
    same_pixels = {f"b/{number}.bmp": file_bytes(Image.fromarray(noise(number)), "BMP") for number in range(5)}
    write(tmp_path / "raw", {**copies, **same_pixels})
    manifest = Project(tmp_path).prepare()
    assert len({row.key for row in manifest.rows}) == len(manifest.rows) == 25
    assert sorted(row.key[16:] for row in manifest.rows) == [""] * 10 + ["-1"] * 5 + ["-2"] * 5 + ["-3"] * 5
    sides: dict[str, set[str]] = {}
    for row in manifest.rows:
        sides.setdefault(row.content_sha256, set()).add(row.split)
    assert len(sides) == 5
    assert all(len(side) == 1 for side in sides.values())


def test_a_flat_folder_without_labels_has_no_classes(tmp_path: Path) -> None:
    write(tmp_path / "raw", {f"{number}.png": png(number) for number in range(6)})
    manifest = Project(tmp_path, labels="none").prepare()
    assert manifest.spec.classes == ()
    assert {(row.label, row.class_name, row.path.split("/")[0]) for row in manifest.rows} == {(-1, "", "all")}


def test_a_class_of_one_picture_is_a_class(tmp_path: Path) -> None:
    write(tmp_path / "raw", {**GOOD, "single/1.png": png(77)})
    manifest = Project(tmp_path).prepare()
    assert manifest.spec.classes == ("a", "b", "single")
    assert [row.label for row in manifest.rows].count(2) == 1


def test_quarantine_keeps_small_files_to_look_at(tmp_path: Path) -> None:
    write(tmp_path / "raw", {**GOOD, "a/bad.png": b"words", "a/large.png": bytes(1_000_001)})
    project = Project(tmp_path, max_megabytes=2.0)
    project.prepare()
    assert set(project.reasons()) == {"a/bad.png", "a/large.png"}
    kept = [path for path in project.paths.quarantine.iterdir() if path.suffix == ".bin"]
    assert [path.read_bytes() for path in kept] == [b"words"]


def test_nothing_that_can_be_used_is_an_error_and_leaves_no_half_data(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"a/bad.png": b"words"})
    project = Project(tmp_path)
    with pytest.raises(
        DataError, match=r"at least one example .* all 1 were refused; the first: a/bad\.png: not a pict"
    ):
        project.prepare()
    assert not project.paths.prepared.exists()
    assert list((tmp_path / "data").iterdir()) == []


def test_a_decoder_that_dies_costs_its_picture_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "raw", GOOD)

    def dying(setups: Any, items: Any, *, chunk: int) -> Iterator[Any]:
        return iter([Died(-9), *list(map_in_workers(setups, items, chunk=chunk))[1:]])

    monkeypatch.setattr(of_pictures, "map_in_workers", dying)
    project = Project(tmp_path)
    assert len(project.prepare().rows) == len(GOOD) - 1
    assert project.reasons() == {"a/0.png": "the process that decoded it died"}


def test_every_name_can_be_written_down(tmp_path: Path) -> None:
    bad = ["a b/end of line \u2028.png", "a b/next line \x85.png", "ü/猫.png"]
    write(tmp_path / "raw", {'a b/it\'s "1".png': png(1), "a b/new\nline.png": png(2), **dict.fromkeys(bad, b"bad")})
    project = Project(tmp_path)
    assert {row.source for row in project.prepare().rows} == {'a b/it\'s "1".png', "a b/new\nline.png"}
    assert sorted(project.reasons()) == sorted(bad)


def test_size_channels_and_fit_are_those_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "raw", GOOD)
    project = Project(tmp_path)
    project.source = replace(project.source, resolution=5, channels="grey", fit="pad")
    manifest = project.prepare()
    assert manifest.spec.shape == (1, 5, 5)
    assert {(row.width, row.height, row.mode) for row in manifest.rows} == {(5, 5, "L")}
