"""The command line: quick help, one message for a foreseen fault, its own exit code, verbs that find the project."""

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm_core.errors import ContractFailed, DdpmError, GateFailed, NonFiniteError, ParamsError, Stopped
from pipelines import cli
from pipelines.commands import stages
from pipelines.doctor import examine
from tests.support.imports import ROOT
from tests.support.project import Project, tiny_project


def failing(error: BaseException) -> object:
    def action(args: object) -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DdpmError("x"), 1),
        (ParamsError("x"), 2),
        (GateFailed("x"), 3),
        (ContractFailed("x"), 4),
        (NonFiniteError("x"), 5),
        (Stopped("x"), 143),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_code_is_the_fault_s_own_and_no_traceback_is_shown(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stages, "run_stage", failing(error))
    assert cli.main(["train"]) == code
    text = capsys.readouterr().err
    assert text.startswith("ddpm train: ")
    assert "Traceback" not in text


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stages, "run_stage", failing(GateFailed("not good enough")))
    assert cli.main(["gate", "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nonsense"], [], ["sample", "--n", "many"], ["serve", "--device", "tpu"]])
def test_wrong_usage_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage: ddpm" in capsys.readouterr().err


def test_options_may_stand_before_and_after_the_verb() -> None:
    parser = cli.parser()
    for words in (["--project", "x", "train"], ["train", "--project", "x"]):
        assert parser.parse_args(words).project == "x"
    assert parser.parse_args(["train"]).project is None


def test_every_stage_is_a_verb_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    text = cli.parser().format_help()
    for stage in stages.STAGES:
        assert stage in text


def test_a_verb_alone_takes_what_it_takes_beside_all_others() -> None:
    def verbs(of: argparse.ArgumentParser) -> dict[str, str]:
        choices = next(each.choices for each in of._actions if each.dest == "verb")
        return {name: verb.format_help() for name, verb in dict(choices or {}).items()}

    alone = [verbs(cli.parser(module)) for module in cli.MODULES]
    assert {name: text for each in alone for name, text in each.items()} == verbs(cli.parser())
    assert sum(map(len, alone)) == len(verbs(cli.parser()))


def test_no_project_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["params"]) == 2
    assert "no params.yaml beside a dvc.yaml in" in capsys.readouterr().err
    assert cli.main(["params", "--project", str(tmp_path)]) == 2
    assert "must be a folder that holds params.yaml and dvc.yaml" in capsys.readouterr().err


def test_project_is_found_from_a_folder_inside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "docs")
    assert cli.main(["params"]) == 0
    assert "runtime.device = auto\n" in capsys.readouterr().out


def test_run_refuses_an_unknown_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--project", str(ROOT), "--only", "trian"]) == 2
    assert "--only: must be one of prepare, validate" in capsys.readouterr().err


def test_bad_parameters_are_all_told_with_exit_2_and_nothing_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tiny_project(tmp_path)
    bad = {"train": {"lr": -1.0, "stepps": 5}, "split": {"test_fraction": "half"}, "gate": {"min_samples": 0}}
    project.set_params(bad)
    monkeypatch.setenv("DDPM_HOME", str(project.home))
    before = places(project)
    for verb in ("run", "train", "flow", "promote"):
        assert cli.main([verb, "--project", str(project.root)]) == 2, verb
        said = capsys.readouterr().err
        for text in (
            "params.yaml: 4 values are not allowed; nothing was started",
            "train.lr: must be above 0, got -1.0",
            "train.stepps: unknown key; did you mean 'steps'?",
            "split.test_fraction: must be a number, got 'half' (str)",
            "gate.min_samples: must be at least 1, got 0",
        ):
            assert text in said, verb
        assert "Traceback" not in said
        assert places(project) == before
    assert not project.home.exists()


def places(project: Project) -> list[Path]:
    """All that lies in the project, but for git's and Python's own."""
    own = {".git", "__pycache__"}
    return sorted(path for path in project.root.rglob("*") if not own & set(path.parts))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--n", "0"], "--n: must be at least 1, got 0"),
        (["--batch-size", "0"], "--batch-size: must be at least 1, got 0"),
        (["--threads", "0"], "--threads: must be at least 1, got 0"),
        (["--seed", "-1"], "--seed: must be from 0 to"),
    ],
)
def test_sampling_options_out_of_range_are_told(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sample", "--bundle", "/nowhere", *words]) == 2
    assert message in capsys.readouterr().err


def test_doctor_tells_versions_devices_and_stores() -> None:
    text = examine(str(ROOT)).text()
    for word in ("versions", "devices", "stores", "python", "torch", "onnxruntime", "free disk", "missing or wrong"):
        assert word in text


def test_doctor_tells_a_project_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_words: object, **_more: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    said = "`ddpm run` cannot start, but: Read-only file system"
    assert not any(said in fault for fault in examine(str(tmp_path)).faults)
    monkeypatch.setattr("pipelines.doctor.tempfile.TemporaryFile", refused)
    assert any(said in fault for fault in examine(str(tmp_path)).faults)


def test_doctor_works_where_there_is_no_project(tmp_path: Path) -> None:
    assert "sampling from a bundle works without one" in examine(str(tmp_path)).text()


def test_doctor_tells_two_runtimes_and_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import doctor

    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "fastapi" else "1")
    monkeypatch.setattr(doctor, "installed_onnxruntimes", lambda: {"onnxruntime-gpu": "1", "onnxruntime": "1"})
    findings = examine(str(ROOT))
    assert not findings.healthy
    assert "both installed and overwrite each other" in findings.text()
    assert "`ddpm serve` needs fastapi" in findings.text()


ENDS = """
import atexit, gc
atexit.register(lambda: print("frozen" if gc.get_freeze_count() else "searched for cycles"))
from pipelines import cli
cli.main(['nonsense'])
"""


def test_a_process_ends_without_a_search_for_cycles() -> None:
    """With torch in memory it takes seconds on a busy machine, in which the process is no longer of use to anyone."""
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True)
    assert done.stdout == "frozen\n", done.stderr
