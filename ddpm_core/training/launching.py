"""Start a command as several processes on this machine, with torch's launcher."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ddpm_core.errors import DdpmError, Stopped, TryAgain

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

_SAVING_SECONDS = 600  # that a launcher gives its processes to finish a step and save
_AT_ONCE = 10.0  # seconds; later ends follow from the first failure


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (minus the signal that killed it), when, and the error it reported.

    The reported code counts, as the launcher may have killed the process while it was exiting.
    """

    code: int
    at: float = 0.0
    words: str | None = None

    @classmethod
    def of(cls, failure: "ProcessFailure") -> "Ended":
        told = failure.message
        if not isinstance(told, dict):
            return cls(failure.exitcode, failure.timestamp)
        return cls(told.get("errorCode", failure.exitcode), failure.timestamp, str(told.get("message")))


def launch(command: Sequence[str], processes: int) -> None:
    """Run a command as several processes on this machine, and end as they ended.

    The launcher passes a signal on and waits for the processes to save.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    try:
        with TemporaryDirectory() as scratch:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=processes,
                logs_specs=DefaultLogsSpecs(log_dir=scratch),
                run_id="train",
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                local_addr="localhost",
                max_restarts=0,
                monitor_interval=0.1,
                shutdown_timeout=_SAVING_SECONDS,
            )
            elastic_launch(config, command[0])(*command[1:])
    except SignalException as error:
        raise Stopped(
            f"stopped by {error.sigval.name}, which was passed on to the {processes} processes; the same command "
            "resumes from what they saved"
        ) from error
    except ChildFailedError as error:
        raise failure_of({number: Ended.of(failure) for number, failure in error.failures.items()}) from error


def failure_of(ended: Mapping[int, Ended]) -> DdpmError:
    """An error with the exit code of the first process that failed."""
    number = _first(ended)
    first = ended[number]
    how = f"was killed by {_signal(-first.code)}" if first.code < 0 else f"failed with exit code {first.code}"
    codes = ", ".join(f"{other}: {each.code}" for other, each in sorted(ended.items()))
    words = (
        f"all processes of the training must succeed, but process {number} {how} "
        f"({first.words or 'see its output above'}); the exit codes are {codes}"
    )
    if first.code in (-signal.SIGKILL, -signal.SIGTERM):
        return TryAgain(
            f"{words}. It was killed, perhaps for lack of memory; the same command resumes from what was saved"
        )
    error = DdpmError(words)
    error.exit_code = first.code if first.code > 0 else 1
    return error


def _first(ended: Mapping[int, Ended]) -> int:
    """The process that failed first: the one that reported an error or was killed, while the others followed."""
    began = min(each.at for each in ended.values())

    def rank(number: int) -> tuple[bool, bool, int]:
        each = ended[number]
        killed = each.code < 0 and each.code != -signal.SIGTERM and each.at - began <= _AT_ONCE
        return each.words is not None, killed, each.code

    return max(sorted(ended), key=rank)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
