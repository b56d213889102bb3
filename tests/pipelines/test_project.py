"""A project from Python: made from arrays, a folder or a preset, changed, and its model sampled as the command does."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_core.errors import DdpmError, ParamsError
from pipelines.cli import main
from pipelines.project import Project
from tests.support.tiny_bundle import tiny_bundle

PICTURES = np.random.default_rng(0).integers(0, 256, (80, 16, 16), dtype=np.uint8)
LABELS = np.arange(80) % 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.create(tmp_path_factory.mktemp("made") / "p", pictures=PICTURES, labels=LABELS)


def test_arrays_become_a_folder_for_each_label_with_the_very_pixels(made: Project) -> None:
    files = sorted((made.root / "source" / "pictures").rglob("*.png"))
    assert [file.parent.name for file in files].count("1") == 40
    for file in files:
        np.testing.assert_array_equal(np.asarray(Image.open(file)), PICTURES[int(file.stem)])
    assert made.params.source.path == "source/pictures"
    assert made.params.kind == "pictures"


def test_arrays_in_colour_keep_their_channels(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (70, 16, 16, 3), dtype=np.uint8)
    project = Project.create(tmp_path / "p", pictures=colour)
    np.testing.assert_array_equal(np.asarray(Image.open(project.root / "source" / "pictures" / "07.png")), colour[7])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "must be exactly one"),
        ({"data": "x", "preset": "points"}, "must be exactly one"),
        ({"preset": "points", "labels": [1]}, "labels only with pictures"),
        ({"pictures": PICTURES / 255.0}, r"must be uint8 .* got float64 \[80, 16, 16\]"),
        ({"pictures": PICTURES[0]}, r"got uint8 \[16, 16\]"),
        ({"pictures": PICTURES, "labels": [1]}, "one for each of 80 pictures, got 1"),
        ({"pictures": PICTURES, "labels": ["../x"] * 80}, "got '../x'"),
        ({"preset": "nothing"}, "nothing"),
    ],
)
def test_what_no_project_can_be_made_of_is_told_and_nothing_is_written(
    given: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DdpmError, match=message):
        Project.create(tmp_path / "p", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()


def test_a_project_is_not_made_twice_nor_opened_where_there_is_none(made: Project, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="must not be a project yet"):
        Project.create(made.root, pictures=PICTURES)
    with pytest.raises(ParamsError, match=r"Project\.create makes one"):
        Project(tmp_path)


def test_values_are_set_with_comments_kept_and_wrong_ones_leave_the_file(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", preset="points")
    before = project.paths.params.read_text()
    assert project.set({"train.steps": 700, "evaluate.seed": 3}).params.train.steps == 700
    after = project.paths.params.read_text()
    changed = [(old, new) for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert len(changed) == 2
    assert all(new.partition("#")[2] == old.partition("#")[2] for old, new in changed)
    for wrong in ({"train.steps": -1}, {"train.stepps": 1}, {"nothing.at": 1}):
        with pytest.raises(ParamsError, match=r"stepps|steps|nothing"):
            project.set(wrong)
    assert project.paths.params.read_text() == after


@pytest.fixture
def with_bundle(tmp_path: Path) -> Project:
    project = Project.create(tmp_path / "p", preset="digits")
    tiny_bundle(project.bundle)
    return project


def test_samples_are_those_of_the_command(with_bundle: Project, tmp_path: Path) -> None:
    project, out = with_bundle, tmp_path / "command.npz"
    words = ["--n", "3", "--seed", "5", "--label", "cycle", "--device", "cpu", "--out", str(out)]
    assert main(["sample", "--project", str(project.root), *words]) == 0
    found = project.sample(3, seed=5)
    found.save(tmp_path / "python.npz")
    assert (tmp_path / "python.npz").read_bytes() == out.read_bytes()
    assert found.seeds == [5, 6, 7]
    shown = Image.open(io.BytesIO(found._repr_png_() or b""))
    assert shown.format == "PNG"
    assert shown.width >= 3 * found.data.shape[-1]


def test_a_format_that_does_not_exist_and_a_folder_are_told(with_bundle: Project, tmp_path: Path) -> None:
    for name in ("x.jpg", "folder"):
        with pytest.raises(ParamsError, match="must end in"):
            with_bundle.sample(1).save(tmp_path / name)


def test_a_bundle_is_saved_whole_and_over_nothing(with_bundle: Project, tmp_path: Path) -> None:
    place = with_bundle.save(tmp_path / "kept")
    for file in with_bundle.bundle.iterdir():
        assert (place / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(ParamsError, match="must be a new one"):
        with_bundle.save(place)


def test_a_command_that_fails_is_an_error_with_its_last_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.create(tmp_path / "p", preset="points")
    with pytest.raises(DdpmError, match=r"exit code 2.*\n.*--only: must be one of"):
        project.run(only="nothing")
    assert "--only: must be one of" in capsys.readouterr().out
