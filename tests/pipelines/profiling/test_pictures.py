"""What is seen of a folder of pictures, and which parameters follow from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ddpm_core.errors import DataError
from pipelines.kinds.choice import Chosen
from pipelines.kinds.pictures.profiling.choose import choose
from pipelines.kinds.pictures.profiling.profile import profile
from pipelines.projects.own_presets import own_preset

RNG = np.random.Generator(np.random.Philox(key=[0, 1]))


def blobs(n: int, side: int = 24, channels: int = 3) -> NDArray[np.uint8]:
    """Flat discs of any colour, place and size on black, [n, side, side, channels]."""
    rows, columns = np.mgrid[0:side, 0:side]
    places = RNG.uniform(0.3, 0.7, (n, 2, 1, 1)) * (side - 1)
    inside = np.hypot(rows - places[:, 0], columns - places[:, 1]) < RNG.uniform(0.15, 0.3, (n, 1, 1)) * side
    colours = RNG.integers(100, 256, (n, 1, 1, channels))
    return (inside[..., None] * colours).astype(np.uint8)


def save(folder: Path, pictures: NDArray[np.uint8], start: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, start):
        Image.fromarray(picture.squeeze()).save(folder / f"{number:04d}.png")
    return folder


def chosen_for(folder: Path) -> Chosen:
    return choose(profile(folder), "data", "cpu", own_preset)


def values(chosen: Chosen) -> dict[str, Any]:
    return {choice.key: choice.value for choice in chosen.choices}


def test_a_flat_folder_of_small_colour_pictures_has_no_labels_their_size_and_their_colour(tmp_path: Path) -> None:
    seen = profile(save(tmp_path, blobs(120)))
    assert (seen.files, seen.usable, seen.side, seen.refused) == (120, 120, 24, ())
    assert seen.coloured > 0.9
    got = values(chosen := choose(seen, "data", "cpu", own_preset))
    assert got["source.labels"] == "none"
    assert (got["source.resolution"], got["source.channels"], got["model.refine"]) == (24, "rgb", 16)
    assert (got["sample.guidance.weight"], got["gate.max_accuracy_loss"]) == (0.0, None)
    assert got["split.test_fraction"] == 0.3
    assert (chosen.train_count, chosen.test_count) == (84, 36)
    assert any("not enough evidence" in line for line in chosen.warnings)


def test_class_folders_of_flat_grey_pictures_are_classes_and_need_no_branch_at_full_size(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "inner" / name, blobs(30, 28, 1))
    seen = profile(tmp_path)
    assert seen.place == tmp_path / "inner"
    assert seen.classes == {"a": 30, "b": 30}
    got = values(choose(seen, "data", "cpu", own_preset))
    assert (got["source.labels"], got["source.channels"], got["source.resolution"]) == ("folders", "grey", 28)
    assert (got["model.refine"], got["gate.max_accuracy_loss"]) == (0, 0.05)
    assert "sample.guidance.weight" not in got


@pytest.mark.parametrize(("small", "outside"), [(5, 0), (30, 10)])
def test_folders_with_too_few_pictures_or_beside_others_are_no_classes(
    small: int, outside: int, tmp_path: Path
) -> None:
    save(tmp_path / "a", blobs(40))
    save(tmp_path / "b", blobs(small))
    save(tmp_path, blobs(outside))
    chosen = chosen_for(tmp_path)
    assert values(chosen)["source.labels"] == "none"
    assert any("source.labels: folders" in line for line in chosen.warnings)


def test_grain_asks_for_small_last_steps_and_large_pictures_are_made_small_for_a_cpu(tmp_path: Path) -> None:
    noise = RNG.integers(0, 256, (20, 96, 80, 3)).astype(np.uint8)
    seen = profile(save(tmp_path, noise))
    for device, size in (("cpu", 32), ("cuda", 64)):
        got = values(choose(seen, "data", device, own_preset))
        assert (got["source.resolution"], got["source.fit"]) == (size, "crop")
        assert (got["sample.sampler.spacing"], got["sample.sampler.steps"]) == ("karras", 20)
        assert size % 4 == 0


def test_broken_pictures_are_told_and_other_files_raise_the_limit(tmp_path: Path) -> None:
    save(tmp_path, blobs(40))
    (tmp_path / "broken.png").write_bytes((tmp_path / "0000.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("x")
    seen = profile(tmp_path)
    assert {each.name for each in seen.refused} == {"broken.png", "notes.txt"}
    chosen = choose(seen, "data", "cpu", own_preset)
    assert 2 / 42 < values(chosen)["contract.max_quarantined_share"] < 3 / 42 + 0.01
    assert any("broken.png" in line for line in chosen.warnings)


def test_exact_copies_raise_the_limit_and_near_copies_are_told(tmp_path: Path) -> None:
    pictures = blobs(40)
    save(tmp_path, pictures)
    save(tmp_path, pictures[:4], start=100)
    near = np.clip(pictures[4:8].astype(int) + 3, 0, 255).astype(np.uint8)
    save(tmp_path, near, start=200)
    seen = profile(tmp_path)
    assert seen.exact_copies == pytest.approx(4 / 48)
    assert seen.near == pytest.approx(4 / 48)
    chosen = choose(seen, "data", "cpu", own_preset)
    assert values(chosen)["contract.max_duplicate_share"] >= 4 / 48
    assert any("8.3% of the pictures are near duplicates" in line for line in chosen.warnings)


def test_data_are_mirrored_only_where_mirror_images_look_like_them(tmp_path: Path) -> None:
    even = blobs(400)
    uneven = even.copy()
    uneven[:, :, :8] = 255
    assert values(chosen_for(save(tmp_path / "even", even)))["train.augment.horizontal_flip"] == 0.5
    assert values(chosen_for(save(tmp_path / "uneven", uneven)))["train.augment.horizontal_flip"] == 0.0
    assert "train.augment.horizontal_flip" not in values(chosen_for(save(tmp_path / "few", even[:30])))


def test_a_picture_is_shown_two_hundred_times_at_most_but_three_hundred_steps_are_made(tmp_path: Path) -> None:
    for count in (20, 200):
        chosen = chosen_for(save(tmp_path / str(count), blobs(count)))
        got = values(chosen)
        shown = got["train.steps"] * got["train.batch_size"] / chosen.train_count
        assert got["train.steps"] == 300 or shown <= 200


def test_a_folder_without_a_readable_picture_is_refused_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of 1 files could be: not a picture"):
        profile(tmp_path)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "dev")])
def test_folders_of_a_split_are_no_classes_and_keep_their_sides(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        for kind in ("cat", "dog"):
            save(tmp_path / name / kind, blobs(20))
    chosen = chosen_for(tmp_path)
    held = 40 * (len(names) - 1)
    assert (chosen.train_count, chosen.test_count) == (40, held)
    assert values(chosen)["source.labels"] == "split_folders"
    assert chosen.about.endswith("in 2 classes")
    why = next(each.why for each in chosen.choices if each.key == "split.test_fraction")
    assert "the share itself is not used" in why
    assert any("the folders" in line and "are the sides of a split" in line for line in chosen.found)


def test_folders_of_a_split_without_classes_in_them_are_no_classes_either(tmp_path: Path) -> None:
    for name in ("train", "test"):
        save(tmp_path / name, blobs(40))
    chosen = chosen_for(tmp_path)
    assert values(chosen)["source.labels"] == "none"
    assert any("train" in line and "it is not kept" in line for line in chosen.warnings)


def test_classes_that_are_called_like_a_side_beside_others_are_classes(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        save(tmp_path / name, blobs(40))
    assert values(chosen_for(tmp_path))["source.labels"] == "folders"


def with_table(folder: Path, header: str = "file,pattern,scale") -> Path:
    save(folder, blobs(60, 24, 1))
    rows = [f"{number:04d}.png,{'ab'[number % 2]},{'fine' if number % 3 else 'coarse'}" for number in range(60)]
    (folder / "attrs.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_columns_that_may_be_labels_are_named_with_what_to_do(tmp_path: Path) -> None:
    chosen = chosen_for(with_table(tmp_path) / "attrs.csv")
    assert values(chosen)["source.label_column"] is None
    why = next(each.why for each in chosen.choices if each.key == "source.label_column")
    assert "'pattern', 'scale' may hold them" in why
    (line,) = (line for line in chosen.warnings if "source.label_column: pattern" in line)
    assert "source.attributes: {scale: scale}" in line


def test_a_table_beside_the_pictures_is_offered_with_the_command(tmp_path: Path) -> None:
    chosen = chosen_for(with_table(tmp_path))
    (line,) = (line for line in chosen.warnings if "attrs.csv names the pictures" in line)
    assert f"`ddpm init FOLDER --data {tmp_path / 'attrs.csv'}`" in line
    (tmp_path / "attrs.csv").write_text("file,n\nnone.png,1\n")
    assert not any("names the pictures" in line for line in chosen_for(tmp_path).warnings)
