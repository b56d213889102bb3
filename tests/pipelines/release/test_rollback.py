"""Rollback: an earlier version is champion again, and no run promotes anew what it replaced."""

import argparse
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddpm_core.errors import DdpmError, IntegrityError, ParamsError, PromotionRefused, StoreUnreachable
from pipelines import flows
from pipelines.commands import history as history_command
from pipelines.commands import promote as promote_command
from pipelines.commands import rollback as rollback_command
from pipelines.commands.run import promote_judged
from pipelines.paths import Paths
from pipelines.release.history import events_of, history
from pipelines.tracking.mlflow_registry import Registry
from tests.support.rolled_back import held_back, promoted, registry_of, rolled_back
from tests.support.tracked import FewParams, empty_home, judged_project

BUNDLES = 3


@pytest.fixture(scope="module")
def template(store_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three projects, each of which became champion after the other, and the state of that."""
    folder = tmp_path_factory.mktemp("three")
    home = empty_home(store_template, folder / "state")
    for seed in range(BUNDLES):
        paths, _ = judged_project(folder / f"project-{seed + 1}", home, seed=seed)
        assert promoted(paths).version == seed + 1
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Callable[[int], Paths]:
    """The project whose bundle is the version of this number, with a copy of the store."""
    home = empty_home(template / "state" / "mlflow.db", tmp_path / "state")
    return lambda number: Paths(root=template / f"project-{number}", home=home)


def test_the_version_before_is_champion_again_and_no_run_undoes_it(project: Callable[[int], Paths]) -> None:
    newest = project(3)
    done = rolled_back(newest)
    assert (done.outcome, done.version, done.replaced, done.previous) == ("rolled back", 2, (3,), 1)
    aliases = registry_of(newest).aliases()
    assert (aliases["champion"], aliases["previous"]) == (2, 1)
    for _ in range(2):
        kept = promoted(newest)
        assert (kept.outcome, kept.version) == ("kept back", 3)
        assert all(word in str(kept) for word in ("sevens", "--again", "Nothing was changed"))
    assert registry_of(newest).aliases() == aliases
    assert promoted(project(2)).outcome == "unchanged"


def test_no_alias_leads_to_a_version_that_was_rolled_back(project: Callable[[int], Paths]) -> None:
    """A service that follows `challenger` leaves it too; without the alias it would go on with what it had."""
    registry = registry_of(project(3))
    assert (registry.aliases()["champion"], registry.aliases()["challenger"]) == (3, 3)  # since its promotion
    rolled_back(project(3))
    assert (registry.aliases()["champion"], registry.aliases()["challenger"]) == (2, 2)
    registry.point("challenger", registry.versions()[2])  # as if the rollback had been cut off before this
    assert rolled_back(project(3), 2).outcome == "unchanged"
    assert registry.aliases()["challenger"] == 2


def test_a_challenger_that_was_never_champion_stays_at_a_rollback(project: Callable[[int], Paths]) -> None:
    registry = registry_of(project(3))
    registry.point("challenger", registry.versions()[0])
    rolled_back(project(3))
    assert registry.aliases()["challenger"] == 1


def test_it_is_kept_who_did_it_when_and_why(project: Callable[[int], Paths]) -> None:
    rolled_back(project(3))
    first, second, third = registry_of(project(3)).versions()
    assert [event.what for event in events_of(first)] == ["promoted"]
    assert [(event.what, event.of) for event in events_of(second)] == [("promoted", 1), ("restored", 3)]
    assert [(event.what, event.of, event.why) for event in events_of(third)] == [
        ("promoted", 2, ""),
        ("rolled back", 2, "sevens"),
    ]
    assert all("@" in event.by and event.at.endswith("+00:00") for event in events_of(third))


def test_back_to_the_first_holds_back_all_that_came_after_it(project: Callable[[int], Paths]) -> None:
    done = rolled_back(project(3), 1)
    assert (done.version, sorted(done.replaced), done.previous) == (1, [2, 3], None)
    assert registry_of(project(3)).aliases()["champion"] == 1
    assert "previous" not in registry_of(project(3)).aliases()
    assert [promoted(project(number)).outcome for number in (1, 2, 3)] == ["unchanged", "kept back", "kept back"]
    with pytest.raises(ParamsError, match=r"VERSION: must be given.*`previous`"):
        rolled_back(project(3))


def test_a_scheduled_run_ends_calmly_and_the_command_to_promote_with_exit_3(
    project: Callable[[int], Paths], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths = project(3)
    rolled_back(paths)
    params = SimpleNamespace(
        runtime=SimpleNamespace(tracking=True), gate=FewParams().gate, sections=FewParams().sections
    )
    with caplog.at_level("INFO"):
        promote_judged(params, paths)  # type: ignore[arg-type]
    assert "is not promoted" in caplog.text
    monkeypatch.setattr(flows, "load_params", lambda path: params)
    monkeypatch.setattr(flows.Paths, "of", lambda root: paths)
    monkeypatch.setattr(flows, "get_run_logger", lambda: SimpleNamespace(info=lambda *words: None))
    assert "is not promoted" in flows.promote_bundle.fn(str(paths.root))
    use(monkeypatch, promote_command, params, paths)
    with pytest.raises(PromotionRefused, match="is not promoted") as refused:
        promote_command.promote_bundle(argparse.Namespace(again=False, why=None))
    assert refused.value.exit_code == 3
    promote_command.promote_bundle(argparse.Namespace(again=True, why="it was the client"))
    assert registry_of(paths).aliases()["champion"] == 3


def use(monkeypatch: pytest.MonkeyPatch, command: Any, params: Any, paths: Paths) -> None:
    monkeypatch.setattr(command, "project_paths", lambda args: paths)
    monkeypatch.setattr(command, "checked_params", lambda paths: params)


@pytest.mark.parametrize(
    ("again", "why", "said"),
    [
        (False, "text", "--why: must come with --again"),
        (True, None, "--why: must give"),
        (True, " ", "--why: must give"),
    ],
)
def test_again_and_why_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool, why: str | None, said: str
) -> None:
    params = SimpleNamespace(runtime=SimpleNamespace(tracking=True))
    use(monkeypatch, promote_command, params, Paths(tmp_path, tmp_path / "home"))
    with pytest.raises(ParamsError, match=said):
        promote_command.promote_bundle(argparse.Namespace(again=again, why=why))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("why", ["", "  ", "x" * 1001])
def test_a_rollback_needs_a_reason_that_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    params = SimpleNamespace(runtime=SimpleNamespace(tracking=True))
    use(monkeypatch, rollback_command, params, Paths(tmp_path, tmp_path / "home"))
    with pytest.raises(ParamsError, match="--why: must"):
        rollback_command.roll_back_champion(argparse.Namespace(version=None, why=why, again=False))
    assert not (tmp_path / "home").exists()


def test_again_promotes_it_and_later_runs_find_it_in_place(project: Callable[[int], Paths]) -> None:
    paths = project(3)
    rolled_back(paths)
    again = promoted(paths, again="it was the client")
    assert (again.outcome, again.version, again.previous) == ("promoted", 3, 2)
    assert held_back(paths) == []
    assert events_of(registry_of(paths).versions()[2])[-1].why == "it was the client"
    assert promoted(paths).outcome == "unchanged"
    assert registry_of(paths).aliases()["previous"] == 2


def test_again_does_not_pass_over_the_comparison(project: Callable[[int], Paths], tmp_path: Path) -> None:
    paths = project(3)
    rolled_back(paths)
    worse, _ = judged_project(tmp_path / "worse", paths.home, seed=BUNDLES - 1, metrics={"energy_classifier": 0.08})
    with pytest.raises(PromotionRefused, match="no worse than the champion"):
        promoted(worse, again="please")
    assert held_back(paths) == [3]
    assert registry_of(paths).aliases()["champion"] == 2


def test_a_version_that_was_rolled_back_is_taken_only_again_and_then_holds_nothing_back(
    project: Callable[[int], Paths],
) -> None:
    paths = project(3)
    rolled_back(paths)
    with pytest.raises(PromotionRefused, match=r"must not have been rolled back(.|\n)*sevens(.|\n)*--again"):
        rolled_back(paths, 3)
    done = rolled_back(paths, 3, "it was the client", again=True)
    assert (done.version, done.replaced, done.previous) == (3, (), 2)
    assert held_back(paths) == []
    assert rolled_back(paths).version == 2


def test_the_present_champion_stays_and_nothing_is_marked(project: Callable[[int], Paths]) -> None:
    paths = project(3)
    before = registry_of(paths).aliases()
    done = rolled_back(paths, 3)
    assert done.outcome == "unchanged"
    assert "nothing was changed" in str(done)
    assert (registry_of(paths).aliases(), held_back(paths)) == (before, [])


def test_a_version_that_is_not_there_is_told_with_those_that_are(project: Callable[[int], Paths]) -> None:
    with pytest.raises(ParamsError, match=r"VERSION: must be a version of tiny \(1, 2, 3\), got 7") as refused:
        rolled_back(project(3), 7)
    assert refused.value.exit_code == 2


def test_an_empty_registry_has_nothing_to_roll_back_and_no_history(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Paths(tmp_path, home)
    with pytest.raises(DdpmError, match="needs a champion of tiny") as refused:
        rolled_back(paths)
    assert refused.value.exit_code == 1
    params = SimpleNamespace(runtime=SimpleNamespace(tracking=True), gate=FewParams().gate)
    use(monkeypatch, history_command, params, paths)
    history_command.show(argparse.Namespace(json=True))
    assert json.loads(capsys.readouterr().out) == []
    history_command.show(argparse.Namespace(json=False))
    assert capsys.readouterr().out == ""


def test_a_store_that_is_away_is_a_temporary_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(StoreUnreachable, match=r"http://127\.0\.0\.1:9 must answer") as away:
        rolled_back(Paths(tmp_path, tmp_path / "home"))
    assert away.value.exit_code == 75


def test_a_champion_that_moved_meanwhile_is_not_written_over(
    project: Callable[[int], Paths], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = project(3)
    monkeypatch.setattr(Registry, "move_champion", lambda self, expected, to: False)
    with pytest.raises(PromotionRefused, match="must not change during a rollback"):
        rolled_back(paths)
    assert held_back(paths) == []
    assert registry_of(paths).aliases()["champion"] == 3


@pytest.mark.parametrize("at", ["move_champion", "point"])
def test_a_rollback_that_was_cut_off_is_completed_by_the_same_command(
    project: Callable[[int], Paths], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    paths = project(3)
    with monkeypatch.context() as patch:

        def cut_off(self: Registry, *words: Any) -> bool:
            if at == "move_champion" or words[0] == "previous":
                raise KeyboardInterrupt
            return bool(real(self, *words))

        real = getattr(Registry, at)
        patch.setattr(Registry, at, cut_off)
        with pytest.raises(KeyboardInterrupt):
            rolled_back(paths)
    assert held_back(paths) == [3]
    assert promoted(paths).outcome == ("unchanged" if at == "move_champion" else "kept back")
    done = rolled_back(paths)
    assert done.version == 2
    aliases = registry_of(paths).aliases()
    assert (aliases["champion"], aliases["previous"], held_back(paths)) == (2, 1, [3])


def test_a_version_whose_files_are_not_what_was_registered_is_not_made_champion(
    project: Callable[[int], Paths], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = project(3)
    fetch = Registry.fetch

    def fetch_another(self: Registry, version: Any, folder: Path) -> Path:
        files = fetch(self, version, folder)
        shutil.rmtree(files / "bundle")
        shutil.copytree(project(1).bundle, files / "bundle")
        return files

    monkeypatch.setattr(Registry, "fetch", fetch_another)
    with pytest.raises(IntegrityError, match="version 2 of tiny must hold the bundle"):
        rolled_back(paths)
    assert (registry_of(paths).aliases()["champion"], held_back(paths)) == (3, [])


def test_of_rollbacks_at_once_one_moves_and_the_others_find_it_done(project: Callable[[int], Paths]) -> None:
    paths = project(3)
    outcomes: list[str] = []
    threads = [threading.Thread(target=lambda: outcomes.append(rolled_back(paths, 1).outcome)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["rolled back", "unchanged", "unchanged"]
    assert held_back(paths) == [2, 3]


def test_history_shows_every_version_with_what_happened(
    project: Callable[[int], Paths], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = project(3)
    rolled_back(paths, why="sevens with two bars")
    rows = history(registry_of(paths))
    assert [(row["version"], row["aliases"], row["held_back"]) for row in rows][1:] == [
        (2, ["challenger", "champion"] if "challenger" in rows[1]["aliases"] else ["champion"], False),
        (1, ["previous"], False),
    ]
    assert (rows[0]["version"], rows[0]["held_back"]) == (3, True)
    params = SimpleNamespace(runtime=SimpleNamespace(tracking=True), gate=FewParams().gate)
    use(monkeypatch, history_command, params, paths)
    history_command.show(argparse.Namespace(json=True))
    assert json.loads(capsys.readouterr().out) == rows
    history_command.show(argparse.Namespace(json=False))
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["version", "bundle", "verdict", "aliases", "what", "happened"]
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["3", "2", "1"]
    assert any(line.strip().startswith("rolled back") and "sevens with two bars" in line for line in lines)
    assert all(rows[0]["bundle"][:12] in line and "pass" in line for line in lines[:1])
