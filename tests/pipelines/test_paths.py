"""State lies in one place, also for the temporary checkouts that DVC makes for its experiments."""

from pathlib import Path

import pytest

from pipelines.paths import Paths, main_root


def project(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).touch()
    return root


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A main checkout, and no word of the environment about where state lies."""
    for name in ("DDPM_HOME", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    return project((tmp_path / "main").resolve())


@pytest.mark.parametrize("place", ["tmpqueued", "standalone/tmpalone"])
def test_an_experiment_keeps_its_state_in_the_main_checkout(main: Path, place: str) -> None:
    checkout = Paths.of(project(main / ".dvc" / "tmp" / "exps" / place))
    assert (checkout.home, checkout.checkpoints) == (main / ".ddpm", main / ".ddpm" / "checkpoints")
    assert checkout.weights.is_relative_to(checkout.root)  # outputs stay where DVC looks for them


def test_a_project_below_the_root_of_dvc_finds_its_own_main_folder(main: Path) -> None:
    below = project(main / "models" / "digits")
    checkout = project(main / ".dvc" / "tmp" / "exps" / "tmpx" / "models" / "digits")
    assert main_root(checkout) == below


def test_where_dvc_has_its_root_below_that_of_git_its_root_is_the_main_project(tmp_path: Path) -> None:
    below = project(tmp_path / "repository" / "digits")
    assert main_root(project(below / ".dvc" / "tmp" / "exps" / "tmpx" / "digits")) == below


def test_an_experiment_of_a_checkout_that_is_itself_one_looks_one_level_up(main: Path) -> None:
    outer = project(main / ".dvc" / "tmp" / "exps" / "tmpx")
    assert main_root(project(outer / ".dvc" / "tmp" / "exps" / "tmpy")) == outer


@pytest.mark.parametrize("place", ["", "elsewhere/tmp/exps/tmpx", ".dvc/tmp/exps", ".dvc/tmp/exps/standalone"])
def test_any_other_folder_is_its_own_main_checkout(main: Path, place: str) -> None:
    assert main_root(main / place) == main / place
    assert Paths.of(main / place).home == main / place / ".ddpm"


def test_the_environment_names_another_home_from_the_main_checkout(
    main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = project(main / ".dvc" / "tmp" / "exps" / "tmpx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_HOME", "state")
    assert Paths.of(main).home == Paths.of(checkout).home == main / "state"
    monkeypatch.setenv("DDPM_HOME", str(tmp_path / "state"))
    assert Paths.of(main).home == Paths.of(checkout).home == tmp_path.resolve() / "state"


def test_what_a_stage_writes_over_is_apart_for_each_experiment(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (Paths.of(project(main / ".dvc" / "tmp" / "exps" / name)) for name in ("tmpx", "tmpy"))
    assert len({paths.logs for paths in (Paths.of(main), one, two)}) == 3
    assert len({paths.data_docs for paths in (Paths.of(main), one, two)}) == 3
    assert one.logs.is_relative_to(main / ".ddpm")
    monkeypatch.setenv("DVC_EXP_NAME", "wild-idea")
    assert one.logs == main / ".ddpm" / "experiments" / "wild-idea" / "logs"
    assert Paths.of(main).logs == main / ".ddpm" / "logs"
