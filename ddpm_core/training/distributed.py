"""The processes of a training, started by torch's launcher.

Each process has its rows of every batch. Gradients are summed; small collectives agree on everything else, so that all
processes take the same decisions at the same step and none waits for one that has left. `ALONE` has the same interface
for a single process.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import torch
from torch import Tensor, distributed

from ddpm_core.errors import DeviceError
from ddpm_core.training.failures import GRACE_SECONDS, Failures, PeerLost, tell_launcher, watching

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")
_PATIENCE = timedelta(minutes=30)  # for the slowest process: the others wait while the first one saves and samples
_STORE_PATIENCE = timedelta(minutes=1)  # for the store, after all processes have joined


class Processes(Protocol):
    """The interface of one process to all processes of its training."""

    @property
    def count(self) -> int: ...
    @property
    def number(self) -> int: ...
    def add_up(self, value: Tensor) -> None:
        """Sum a tensor over the processes, in place."""
        ...

    def total(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        ...

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, in their order."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process; does not wait for a device."""
        ...

    def from_first(self, make: Callable[[], T]) -> T:
        """The result of `make` in the first process, on all processes."""
        ...


class Alone:
    """One process."""

    count, number = 1, 0

    def add_up(self, value: Tensor) -> None:
        """The sum over one process."""

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
    """The processes of a launcher; gloo exchanges tensors in memory, nccl those on GPUs."""

    def __init__(self) -> None:
        self.count, self.number = distributed.get_world_size(), distributed.get_rank()

    def add_up(self, value: Tensor) -> None:
        with _exchange(value):
            distributed.all_reduce(value)

    def total(self, value: Tensor) -> Tensor:
        whole = value.clone()
        self.add_up(whole)
        return whole

    def gather(self, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(self.count)]
        with _exchange(rows):
            distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        return bool(self.total(torch.tensor([float(flag)])))

    def from_first(self, make: Callable[[], T]) -> T:
        box: list[T | None] = [make() if self.number == 0 else None]
        with _exchange(torch.empty(0)):
            distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return cast(T, box[0])


class _Waiting:
    """Whether the main thread waits for other processes in C code, where Python handles no signal."""

    now = False


def is_waiting() -> bool:
    """Whether this process waits for the others; if one of them has ended, gloo ends the wait."""
    return _Waiting.now


@contextmanager
def _exchange(value: Tensor) -> Iterator[None]:
    """An exchange with gloo, which fails if another process has ended; exchanges of nccl run on the GPU."""
    if value.device.type != "cpu":
        yield
        return
    _Waiting.now = True
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(
            "the processes of a training must end together, but an exchange with the others failed "
            f"({str(error).splitlines()[0]}): one of them ended, for example by kill -9; the same command resumes "
            "from what was saved"
        ) from error
    finally:
        _Waiting.now = False


# ------------------------------------------------------------------------------------------------------ joining


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher (torchrun, or `launch`) started this process, alone or with others."""
    return "RANK" in environment and "WORLD_SIZE" in environment


def on_this_machine(environment: Mapping[str, str] = os.environ) -> int:
    """The number of processes of the training on this machine, which share its threads."""
    return int(environment.get("LOCAL_WORLD_SIZE", "1")) if is_launched(environment) else 1


def left_alone() -> Callable[[], bool]:
    """Whether the launcher of this process has died, for example by kill -9."""
    if not is_launched():
        return lambda: False
    launcher = os.getppid()
    return lambda: os.getppid() != launcher


@contextmanager
def joined(device: str, deterministic: bool = True, *, grace: float = GRACE_SECONDS) -> Iterator[Processes]:
    """The processes of the launcher, each on its own GPU unless `device` is cpu; ALONE without a launcher.

    If one of them fails inside this context, all end; those that hang are ended after `grace` seconds. The group of
    GPUs reads torch's flag of determinism now, so set it before.
    """
    if not is_launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    from torch.distributed.rendezvous import rendezvous

    on_gpus = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpus:
        if deterministic and not torch.are_deterministic_algorithms_enabled():
            raise DeviceError(
                "torch.are_deterministic_algorithms_enabled() must be true before the processes join on GPUs, but is "
                "false: their sums would not be repeatable; set it before, or join with deterministic=False"
            )
        _take_gpu(int(os.environ.get("LOCAL_RANK", "0")), on_this_machine())
    met, number, count = next(rendezvous("env://", timeout=_PATIENCE))
    store = _named(met)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpus else "gloo", store=store, rank=number, world_size=count, timeout=_PATIENCE
    )
    failures = Failures(store, number)
    with watching(lambda: Failures(_named(_connected()), number), grace=grace):
        try:
            yield Group()
        except BaseException as error:
            _end_all(error, failures, on_gpus)
            raise
        distributed.destroy_process_group()


def _end_all(error: BaseException, failures: Failures, on_gpus: bool) -> None:
    """Report the first failure; if another process failed first, exit with its exit code."""
    first = failures.tell(error)
    _abort(on_gpus)
    if first.process == failures.process:
        if not isinstance(error, PeerLost):
            tell_launcher(first, error)
    elif isinstance(error, PeerLost) or first.words == f"{type(error).__name__}: {error}":
        raise SystemExit(first.code) from error


def _abort(on_gpus: bool) -> None:
    """Leave the group without waiting for the others; destroying nccl's group would wait for its kernels."""
    with suppress(Exception):  # the first error counts
        if on_gpus:
            distributed.distributed_c10d._get_default_group()._get_backend(torch.device("cuda")).abort()
        else:
            distributed.destroy_process_group()


def _connected() -> "Store":
    """Another connection to the store of the processes."""
    return distributed.TCPStore(  # type: ignore[attr-defined]
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=_STORE_PATIENCE
    )


def _named(store: "Store") -> "Store":
    from torch.distributed.distributed_c10d import PrefixStore

    return PrefixStore(_attempt(os.environ), store)


def _attempt(environment: Mapping[str, str]) -> str:
    """A name for this start of the processes, under which they join.

    A launcher keeps its store over restarts, with the addresses of ended processes. Its restart count distinguishes the
    starts, but only on one machine; for several machines see docs/training.md.
    """
    alone = environment.get("GROUP_WORLD_SIZE", "1") == "1"
    return f"start-{environment.get('TORCHELASTIC_RESTART_COUNT', '0') if alone else '0'}"


def _take_gpu(place: int, sharing: int) -> None:
    there = torch.cuda.device_count()
    if sharing > there:
        raise DeviceError(
            f"every process needs its own GPU, but this machine has {sharing} processes and {there} GPUs; start "
            f"at most {there} processes, or set runtime.device to cpu"
        )
    torch.cuda.set_device(place)
