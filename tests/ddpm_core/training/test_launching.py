"""A launcher ends as the first of its processes that failed, and says what that was."""

import signal
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import ContractFailed, Stopped
from ddpm_core.training.failures import Failure, tell_launcher
from ddpm_core.training.launching import Ended, failure_of, launch


@pytest.mark.parametrize(
    ("codes", "first", "code"),
    [
        ({0: 5, 1: 5}, 0, 5),
        ({0: 143, 1: -15}, 0, 143),
        ({1: -9}, 1, 75),
        ({1: -11}, 1, 1),
        ({0: 1}, 0, 1),
        ({0: 75, 1: -9}, 1, 75),
        ({0: 143, 1: -11}, 1, 1),
    ],
)
def test_a_launcher_ends_as_the_process_that_ended_the_others(codes: dict[int, int], first: int, code: int) -> None:
    error = failure_of({number: Ended(ended) for number, ended in codes.items()})
    assert error.exit_code == code
    assert f"process {first} " in str(error)
    assert all(f"{number}: {ended}" in str(error) for number, ended in codes.items())


def test_what_a_process_told_counts_before_all_else() -> None:
    error = failure_of({0: Ended(4, words="ContractFailed: so"), 1: Ended(-9), 2: Ended(5)})
    assert error.exit_code == 4
    assert "process 0 failed with exit code 4 (ContractFailed: so)" in str(error)


def test_what_the_launcher_killed_after_a_failure_is_no_failure_of_its_own() -> None:
    assert failure_of({0: Ended(-9, at=130.0), 1: Ended(2, at=100.0)}).exit_code == 2
    assert failure_of({0: Ended(-9, at=100.0), 1: Ended(2, at=100.0)}).exit_code == 75


def test_a_launcher_reads_what_a_process_told_whatever_ended_it_then(tmp_path: Path) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    def ended() -> Ended:
        return Ended.of(ProcessFailure(local_rank=0, pid=1, exitcode=-15, error_file=str(tmp_path / "error.json")))

    assert (ended().code, ended().words) == (-15, None)
    error = ContractFailed("so")
    tell_launcher(Failure.of(error, 0), error, {"TORCHELASTIC_ERROR_FILE": str(tmp_path / "error.json")})
    assert (ended().code, ended().words) == (4, "ContractFailed: so")
    tell_launcher(Failure.of(error, 0), error, {})


def test_launch_is_for_a_command_and_gives_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.launcher import api

    def stopped(config: Any, command: str) -> Any:
        assert config.nproc_per_node == 3
        assert command == "train"
        raise_it = SignalException("stop", signal.SIGTERM)

        def run(*words: str) -> None:
            assert words == ("--now",)
            raise raise_it

        return run

    monkeypatch.setattr(api, "elastic_launch", stopped)
    with pytest.raises(Stopped, match=r"stopped by SIGTERM, .* 3 processes; the same command resumes"):
        launch(["train", "--now"], 3)
