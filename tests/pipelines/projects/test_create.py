"""New projects: what is in one, what is refused, git and DVC there, and that each preset is whole."""

import subprocess
from pathlib import Path

import pytest
import yaml

from ddpm_core.errors import ParamsError
from pipelines import cli
from pipelines.kinds.watched import check_watched
from pipelines.params import load_params, read_yaml
from pipelines.projects.create import ProjectFiles, check_free, create, from_preset
from pipelines.projects.presets import presets
from pipelines.versioning.dvc_repo import DvcRepo
from tests.support.imports import ROOT
from tests.support.project import STAGES

PRESETS = tuple(presets())


def make(folder: Path, preset: str = "points") -> ProjectFiles:
    files = from_preset(preset, folder)
    check_free(folder, files)
    create(folder, files)
    return files


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_whole_good_params_file_whose_data_are_found_in_its_project(name: str, tmp_path: Path) -> None:
    make(tmp_path / "p", name)
    params = load_params(tmp_path / "p" / "params.yaml")
    check_watched(params.source.path, tmp_path / "p")
    assert params.runtime.device == "auto"
    copied = (tmp_path / "p" / params.source.path).read_bytes()
    assert copied == (ROOT / read_yaml(presets()[name])["source"]["path"]).read_bytes()


@pytest.mark.parametrize("name", PRESETS)
def test_but_for_its_data_s_path_a_project_has_the_preset_s_text(name: str, tmp_path: Path) -> None:
    make(tmp_path / "p", name)
    was, now = (file.read_text().splitlines() for file in (presets()[name], tmp_path / "p" / "params.yaml"))
    differing = [(old, new) for old, new in zip(was, now, strict=True) if old != new]
    assert [(old.split()[0], new.split()[0]) for old, new in differing] == [("path:", "path:")]


def test_the_digits_are_the_repository_s_own_params() -> None:
    assert PRESETS[0] == "digits"
    assert presets()["digits"].read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_the_transformer_s_preset_differs_in_the_network_and_in_what_is_shown_on_the_way() -> None:
    digits, transformer = (read_yaml(presets()[name]) for name in ("digits", "transformer"))
    transformer["train"]["sample_every"] = digits["train"]["sample_every"]
    transformer["evaluate"]["panels"]["steps"] = digits["evaluate"]["panels"]["steps"]
    assert {key for key in digits if digits[key] != transformer[key]} == {"model"}
    assert list(digits) == list(transformer)


def test_a_new_project_outside_of_git_has_git_and_dvc_of_its_own_and_no_code(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "p")
    folder = tmp_path / "deep" / "p"
    wanted = {
        ".dvc",
        ".dvcignore",
        ".git",
        ".gitignore",
        "README.md",
        "accepted.json",
        "dvc.yaml",
        "params.yaml",
        "prefect.yaml",
        "source",
    }
    assert {entry.name for entry in folder.iterdir()} == wanted
    assert "no_scm" not in (folder / ".dvc" / "config").read_text()
    assert {file.name for file in (folder / ".dvc" / "plots").iterdir()} == {
        file.name for file in (ROOT / ".dvc" / "plots").iterdir()
    }
    assert DvcRepo(folder).order() == ["code", *STAGES]


@pytest.mark.parametrize(
    "name", ["cats", "cats: the best", "cats #1", "2026", "yes", "@home", "'tis", 'say "x"', "猫 🐈"]
)
def test_a_deployment_has_the_name_of_the_folder_whatever_it_is(name: str) -> None:
    text = ProjectFiles.of(name, "pictures", "kind: pictures\n").files["prefect.yaml"]
    assert yaml.safe_load(text)["name"] == name


@pytest.mark.parametrize(
    ("name", "deployment"),
    [
        ("cats", "nightly-cats"),
        ("cats: the best/2", "nightly-cats-the-best-2"),
        ("2026", "nightly-2026"),
        ("@home & <away> 100%", "nightly-home-away-100"),
        ("猫 🐈", "nightly-猫"),
        ("🐈", "nightly-project"),
    ],
)
def test_projects_on_one_server_have_deployments_of_their_own_and_are_told_how_to_run_them(
    name: str, deployment: str
) -> None:
    files = ProjectFiles.of(name, "pictures", "kind: pictures\n").files
    text = files["prefect.yaml"].decode()
    (only,) = yaml.safe_load(text)["deployments"]
    assert only["name"] == deployment
    assert f"prefect --no-prompt deploy --name {deployment}\n" in text
    assert f"prefect deployment run ddpm-pipeline/{deployment}\n" in text
    assert f"ddpm-pipeline/{deployment}`" in files["README.md"].decode()


def test_below_a_working_tree_git_is_that_one_and_dvc_is_without_git_where_it_ignores_the_folder(
    tmp_path: Path,
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/ignored/\n")
    for name, without_git in (("ignored/p", True), ("kept/p", False)):
        make(tmp_path / name)
        assert not (tmp_path / name / ".git").exists()
        assert ("no_scm = true" in (tmp_path / name / ".dvc" / "config").read_text()) == without_git
        assert DvcRepo(tmp_path / name).order() == ["code", *STAGES]


def test_what_there_may_be_before_stays_and_gitignore_gets_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    (tmp_path / ".gitignore").write_text("*.log\n/out/")
    make(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine\n"
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["*.log", "/out/"]
    assert lines.count("/out/") == 1
    assert ".ddpm/" in lines


def test_an_interrupted_init_is_finished_and_a_project_is_never_overwritten(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "params.yaml").unlink()
    make(tmp_path)
    (tmp_path / "params.yaml").write_text("mine: true\n")
    with pytest.raises(ParamsError, match=r"must not be a project yet.*--update"):
        make(tmp_path, "transformer")
    assert (tmp_path / "params.yaml").read_text() == "mine: true\n"


@pytest.mark.parametrize("name", ["holiday.jpg", "dvc.yaml", "prefect.yaml"])
def test_a_folder_of_other_files_is_refused_and_left_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(ParamsError, match=rf"{tmp_path}: .*got a folder of other files \({name}\)"):
        make(tmp_path)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [(name, "mine\n")]


def test_the_data_may_lie_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures" / "cats").mkdir(parents=True)
    check_free(tmp_path, from_preset("points", tmp_path), tmp_path / "pictures" / "cats")


def test_the_code_s_own_folder_is_refused() -> None:
    with pytest.raises(ParamsError, match="must not be a project yet"):
        make(ROOT / "tests" / "..")


def test_the_command_makes_one_and_lists_the_presets_for_an_unknown_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", str(tmp_path / "p"), "--preset", "points"]) == 0
    assert (tmp_path / "p" / "params.yaml").is_file()
    assert "Cost of a run" in capsys.readouterr().out
    assert cli.main(["init", str(tmp_path / "q"), "--preset", "pionts"]) == 2
    said = capsys.readouterr().err
    assert f"--preset: must be one of {', '.join(PRESETS)}, or with --data" in said
    assert "got 'pionts'" in said
    assert not (tmp_path / "q").exists()
