"""Project folders: what is in one, what a second time changes, what is refused, and that each preset is whole."""

import os
from pathlib import Path

import pytest

from ddpm_core.errors import ParamsError
from pipelines import cli
from pipelines.kinds.watched import check_watched
from pipelines.params import load_params, read_yaml
from pipelines.projects import LINKS, make_project, presets
from pipelines.versioning.dvc_repo import DvcRepo
from tests.support.imports import ROOT
from tests.support.project import STAGES

PRESETS = tuple(presets())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_whole_good_params_file_whose_data_are_found_from_a_project(name: str, tmp_path: Path) -> None:
    make_project(tmp_path / "p", name)
    params = load_params(tmp_path / "p" / "params.yaml")
    check_watched(params.source.path, tmp_path / "p")
    assert params.runtime.device == "auto"


def test_the_digits_are_the_repository_s_own_params() -> None:
    assert PRESETS[0] == "digits"
    assert presets()["digits"] == ROOT / "params.yaml"


def test_the_transformer_s_preset_differs_in_the_network_alone() -> None:
    digits, transformer = (read_yaml(presets()[name]) for name in ("digits", "transformer"))
    assert {key for key in digits if digits[key] != transformer[key]} == {"model"}
    assert list(digits) == list(transformer)


def test_a_new_project_has_the_preset_s_params_and_links_to_the_code(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "project"
    assert make_project(folder, "points")
    assert (folder / "params.yaml").read_bytes() == presets()["points"].read_bytes()
    for name in LINKS:
        assert (folder / name).is_symlink()
        assert (folder / name).resolve() == ROOT / name
        assert not Path(os.readlink(folder / name)).is_absolute()
    assert sorted(entry.name for entry in folder.iterdir()) == [
        ".dvc",
        ".dvcignore",
        "ddpm_core",
        "dvc.yaml",
        "params.yaml",
        "pipelines",
    ]


def test_dvc_sees_all_stages_there_and_nothing_of_git(tmp_path: Path) -> None:
    make_project(tmp_path / "p", "points")
    assert DvcRepo(tmp_path / "p").order() == DvcRepo(ROOT).order()
    lock = DvcRepo(tmp_path / "p").lock_now(())
    assert list(lock) == list(STAGES)
    code = {dep["path"]: dep["md5"] for stage in lock.values() for dep in stage["deps"] if "pipelines/" in dep["path"]}
    of_root = DvcRepo(ROOT).lock_now(())
    same = {dep["path"]: dep["md5"] for stage in of_root.values() for dep in stage["deps"] if dep["path"] in code}
    assert same
    assert {path: code[path] for path in same} == same


def test_a_project_that_is_there_keeps_its_params_and_mends_its_links(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    make_project(folder, "points")
    (folder / "params.yaml").write_text("mine: true\n")
    with (folder / ".dvc" / "config").open("a") as file:
        file.write("[core]\n    remote = store\n")
    (folder / "dvc.yaml").unlink()
    (folder / "pipelines").unlink()
    (folder / "pipelines").symlink_to(tmp_path)
    assert not make_project(folder, "transformer")
    assert (folder / "params.yaml").read_text() == "mine: true\n"
    assert "remote = store" in (folder / ".dvc" / "config").read_text()
    assert (folder / "dvc.yaml").resolve() == ROOT / "dvc.yaml"
    assert (folder / "pipelines").resolve() == ROOT / "pipelines"


def test_a_project_whose_making_was_killed_is_finished(tmp_path: Path) -> None:
    make_project(tmp_path, "points")
    (tmp_path / "params.yaml").unlink()
    assert make_project(tmp_path, "points")


def test_the_command_makes_one_and_lists_the_presets_for_an_unknown_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", str(tmp_path / "p"), "--preset", "points"]) == 0
    assert cli.main(["init", str(tmp_path / "q"), "--preset", "pionts"]) == 2
    assert f"--preset: must be one of {', '.join(PRESETS)}, got 'pionts'" in capsys.readouterr().err
    assert not (tmp_path / "q").exists()


def test_a_folder_of_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ParamsError, match=rf"{tmp_path}: .*got a folder of other files"):
        make_project(tmp_path, "points")
    assert [entry.name for entry in tmp_path.iterdir()] == ["holiday.jpg"]


def test_the_code_s_own_folder_is_refused() -> None:
    with pytest.raises(ParamsError, match="must be another folder"):
        make_project(ROOT / "tests" / "..", "points")


def test_code_of_its_own_in_a_project_is_never_replaced(tmp_path: Path) -> None:
    make_project(tmp_path / "p", "points")
    (tmp_path / "p" / "dvc.yaml").unlink()
    (tmp_path / "p" / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(ParamsError, match=r"dvc\.yaml: must be a link .*got a file or folder"):
        make_project(tmp_path / "p", "points")
    assert (tmp_path / "p" / "dvc.yaml").read_text() == "stages: {}\n"
