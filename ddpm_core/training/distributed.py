"""Training by several processes, through torch's own launcher; no other module names torch.distributed.

Each process has its rows of every batch; gradients are averaged by DistributedDataParallel, everything else is agreed
on by small collectives, so that all processes take the same decisions at the same step and none waits for another that
has left. `ALONE` is the same for one process, where every agreement is with itself.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from ddpm_core.errors import DdpmError, DeviceError, Stopped, TryAgain

T = TypeVar("T")
_PATIENCE = timedelta(minutes=30)  # for the slowest process: the first one saves and samples while the others wait
_SAVING_SECONDS = 600  # that a launcher gives its processes to finish a step and to save


class Processes(Protocol):
    """The processes of one training, as one of them sees them."""

    @property
    def count(self) -> int: ...
    @property
    def number(self) -> int: ...
    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with its gradients averaged over the processes after every backward pass."""
        ...

    def apart(self, net: nn.Module) -> AbstractContextManager[None]:
        """Backward passes in here leave the gradients of a wrapped model as this process's own."""
        ...

    def total(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        ...

    def gather(self, rows: Tensor) -> Tensor:
        """Everyone's rows, in the order of the processes."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether one of them says so; looks at no device."""
        ...

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, on every one; returns when all have it."""
        ...


class Alone:
    """One process."""

    count, number = 1, 0

    def wrap(self, model: nn.Module) -> nn.Module:
        return model

    def apart(self, net: nn.Module) -> AbstractContextManager[None]:
        return nullcontext()

    def total(self, value: Tensor) -> Tensor:
        return value

    def gather(self, rows: Tensor) -> Tensor:
        return rows

    def any(self, flag: bool) -> bool:
        return flag

    def from_first(self, make: Callable[[], T]) -> T:
        return make()


ALONE = Alone()


class Group:
    """The processes that a launcher started; gloo carries what lies in memory, nccl what lies on GPUs."""

    def __init__(self) -> None:
        from torch import distributed

        self.count, self.number = distributed.get_world_size(), distributed.get_rank()

    def wrap(self, model: nn.Module) -> nn.Module:
        from torch.nn.parallel import DistributedDataParallel

        return cast(nn.Module, DistributedDataParallel(model, gradient_as_bucket_view=True))

    def apart(self, net: nn.Module) -> AbstractContextManager[None]:
        from torch.nn.parallel import DistributedDataParallel

        return net.no_sync() if isinstance(net, DistributedDataParallel) else nullcontext()

    def total(self, value: Tensor) -> Tensor:
        from torch import distributed

        whole = value.clone()
        distributed.all_reduce(whole)
        return whole

    def gather(self, rows: Tensor) -> Tensor:
        from torch import distributed

        parts = [torch.empty_like(rows) for _ in range(self.count)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        return bool(self.total(torch.tensor([float(flag)])))

    def from_first(self, make: Callable[[], T]) -> T:
        from torch import distributed

        box: list[T | None] = [make() if self.number == 0 else None]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return cast(T, box[0])


# ------------------------------------------------------------------------------------------------------ joining


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher (torchrun, or `launch`) started this process, alone or with others."""
    return "RANK" in environment and "WORLD_SIZE" in environment


def on_this_machine(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes of the training share this machine and its threads."""
    return int(environment.get("LOCAL_WORLD_SIZE", "1")) if is_launched(environment) else 1


def left_alone() -> Callable[[], bool]:
    """Whether the launcher that started this process has died since, as by kill -9."""
    if not is_launched():
        return lambda: False
    launcher = os.getppid()
    return lambda: os.getppid() != launcher


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that a launcher started, each on a GPU of its own unless `device` is cpu; ALONE without one."""
    if not is_launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    on_gpus = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpus:
        _take_gpu(int(os.environ.get("LOCAL_RANK", "0")), on_this_machine())
    store, rank, count = next(rendezvous("env://", timeout=_PATIENCE))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
        store=PrefixStore(_attempt(os.environ), store),
        rank=rank,
        world_size=count,
        timeout=_PATIENCE,
    )
    try:
        yield Group()
    finally:
        distributed.destroy_process_group()


def _attempt(environment: Mapping[str, str]) -> str:
    """A name for this start of the processes, under which they meet.

    A launcher keeps its store over restarts, with the addresses of the dead in it. Its count of restarts tells starts
    apart, but on one machine only; several have a store for every start where they are told so (docs/training.md).
    """
    alone = environment.get("GROUP_WORLD_SIZE", "1") == "1"
    return f"start-{environment.get('TORCHELASTIC_RESTART_COUNT', '0') if alone else '0'}"


def _take_gpu(place: int, sharing: int) -> None:
    there = torch.cuda.device_count()
    if sharing > there:
        raise DeviceError(
            f"every process needs a GPU of its own, but this machine has {sharing} processes and {there} GPUs; start "
            f"at most {there} processes, or set runtime.device to cpu"
        )
    torch.cuda.set_device(place)


# ---------------------------------------------------------------------------------------------------- launching


def launch(command: Sequence[str], processes: int) -> None:
    """Run a command as so many processes of this machine, and end as they ended.

    A signal to the launcher is handed on; it then waits for the processes to save.
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
            f"stopped by {error.sigval.name}, which the {processes} processes were told; the same command goes on from "
            "what they saved"
        ) from error
    except ChildFailedError as error:
        raise _failure({number: failure.exitcode for number, failure in error.failures.items()}) from error


def _failure(exit_codes: Mapping[int, int]) -> DdpmError:
    """The error that ends a launcher as its processes ended: by the code that one of them chose, if one did."""
    chosen = [code for code in exit_codes.values() if code > 0]
    told = ", ".join(f"{number}: {code}" for number, code in sorted(exit_codes.items()))
    words = f"the training's processes must end well, but their exit codes are ({told}); see what they said above"
    if all(code in (-signal.SIGKILL, -signal.SIGTERM) for code in exit_codes.values()):
        return TryAgain(f"{words}. They were killed, as for memory; the same command goes on from what they saved")
    error = DdpmError(words)
    error.exit_code = max(chosen, default=1)
    return error
