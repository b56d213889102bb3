"""The processes of a training, as one of them sees them; they were started by torch's launcher.

Each process has its rows of every batch; gradients are added up, everything else is agreed on by small collectives, so
that all processes take the same decisions at the same step and none waits for another that has left. `ALONE` is the
same for one process, where every agreement is with itself.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import torch
from torch import Tensor

from ddpm_core.errors import DeviceError
from ddpm_core.training.failures import GRACE_SECONDS, Failures, PeerLost, tell_launcher, watching

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")
_PATIENCE = timedelta(minutes=30)  # for the slowest process: the first one saves and samples while the others wait
_STORE_PATIENCE = timedelta(minutes=1)  # for the store, once the processes have met


class Processes(Protocol):
    """The processes of one training, as one of them sees them."""

    @property
    def count(self) -> int: ...
    @property
    def number(self) -> int: ...
    def add_up(self, value: Tensor) -> None:
        """Make it the sum over the processes, in its place."""
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

    def add_up(self, value: Tensor) -> None:
        """It is the sum."""

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

    def add_up(self, value: Tensor) -> None:
        from torch import distributed

        with _exchange(value):
            distributed.all_reduce(value)

    def total(self, value: Tensor) -> Tensor:
        whole = value.clone()
        self.add_up(whole)
        return whole

    def gather(self, rows: Tensor) -> Tensor:
        from torch import distributed

        parts = [torch.empty_like(rows) for _ in range(self.count)]
        with _exchange(rows):
            distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        return bool(self.total(torch.tensor([float(flag)])))

    def from_first(self, make: Callable[[], T]) -> T:
        from torch import distributed

        box: list[T | None] = [make() if self.number == 0 else None]
        with _exchange(torch.empty(0)):
            distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return cast(T, box[0])


class _Waiting:
    """Whether the main thread waits for other processes, in C, where it hears no signal."""

    now = False


def is_waiting() -> bool:
    """Whether this process waits for the others; where one of them has ended, gloo ends the wait."""
    return _Waiting.now


@contextmanager
def _exchange(value: Tensor) -> Iterator[None]:
    """An exchange by gloo, which fails where another process has ended; nccl's go on by themselves on the GPU."""
    if value.device.type != "cpu":
        yield
        return
    _Waiting.now = True
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(
            "the processes of a training must end together, but an exchange with the others failed "
            f"({str(error).splitlines()[0]}): one of them ended, as by kill -9; the same command goes on from what was "
            "saved"
        ) from error
    finally:
        _Waiting.now = False


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
def joined(device: str, deterministic: bool = True, *, grace: float = GRACE_SECONDS) -> Iterator[Processes]:
    """The processes that a launcher started, each on a GPU of its own unless `device` is cpu; ALONE without one.

    Where one of them fails in here all end, those that cannot by themselves after `grace` seconds. The group of GPUs
    takes torch's flag of determinism as it is now, so that has to be set before.
    """
    if not is_launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    on_gpus = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpus:
        if deterministic and not torch.are_deterministic_algorithms_enabled():
            raise DeviceError(
                "torch.are_deterministic_algorithms_enabled() must be true before the processes join on GPUs, but is "
                "not: their sums would not be repeatable; set it before, or join with deterministic=False"
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
    """Tell the first failure; where that was another's, and this only follows from it, leave with its exit code."""
    first = failures.tell(error)
    _abort(on_gpus)
    if first.process == failures.process:
        if not isinstance(error, PeerLost):
            tell_launcher(first, error)
    elif isinstance(error, PeerLost) or first.words == f"{type(error).__name__}: {error}":
        raise SystemExit(first.code) from error


def _abort(on_gpus: bool) -> None:
    """Leave the group without waiting for the others; to destroy that of nccl would wait for its kernels."""
    from torch import distributed

    with suppress(Exception):  # the first error counts
        if on_gpus:
            distributed.distributed_c10d._get_default_group()._get_backend(torch.device("cuda")).abort()
        else:
            distributed.destroy_process_group()


def _connected() -> "Store":
    """Another connection to the store where the processes met."""
    from torch import distributed

    return distributed.TCPStore(  # type: ignore[attr-defined]
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=_STORE_PATIENCE
    )


def _named(store: "Store") -> "Store":
    from torch.distributed.distributed_c10d import PrefixStore

    return PrefixStore(_attempt(os.environ), store)


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
