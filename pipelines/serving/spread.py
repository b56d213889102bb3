"""The same pictures by several processes of this machine, each with a session of its own.

A batch is the unit of work: the batches are those that one process would make, in whatever order they get done, so the
number of processes changes no byte. On GPUs each process has one of its own. The processes end with the one that
started them, however that ends; what one of them says of an error is raised here.
"""

import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ddpm_core.bundle import Bundle
from ddpm_core.errors import DdpmError, DeviceError, ParamsError, TryAgain
from pipelines.lifetime import end_with_parent
from pipelines.progress import Progress
from pipelines.serving.onnx_denoiser import gpu_count
from pipelines.serving.sampler import Engine, Recipe, Sampler

log = logging.getLogger(__name__)

Part = tuple[int, list[int | None], list[int]]  # where the batch begins, its labels and its seeds


@dataclass(frozen=True)
class Workers:
    """How many processes sample, and on what."""

    count: int
    threads: int  # of each
    gpus: int  # 0: they work on the CPU

    @classmethod
    def of(cls, asked: int | Literal["auto"], threads: int, device: str, batches: int) -> "Workers":
        """As many as asked for; `auto` is one for each thread or GPU. More than there are batches find nothing to do.

        `device` is where the sampler is: cpu or cuda.
        """
        if asked != "auto" and asked < 1:
            raise ParamsError(f"processes: must be auto or at least 1, got {asked}")
        gpus = gpu_count() if device == "cuda" else 0
        if gpus and asked != "auto" and asked > gpus:
            raise DeviceError(
                f"every process that samples needs a GPU of its own, but {asked} were asked for and this machine has "
                f"{gpus}; ask for at most {gpus}, or sample on the CPU"
            )
        count = max(1, min((gpus or threads) if asked == "auto" else asked, batches))
        return cls(count, threads if gpus else max(1, threads // count), gpus)


@dataclass(frozen=True)
class _Task:
    """What every process is told once."""

    bundle: Bundle
    device: str
    gpu: int
    threads: int
    engine: Engine
    batch_size: int
    recipe: Recipe


def sample_spread(
    sampler: Sampler,
    recipe: Recipe,
    labels: Sequence[int | None],
    seeds: Sequence[int],
    *,
    processes: int | Literal["auto"],
    batch_size: int = 64,
    progress: bool = False,
) -> NDArray[np.uint8]:
    """What `sampler.sample` gives, made by so many processes; by this one alone where that is what it comes to."""
    batches = -(-len(seeds) // batch_size) if batch_size >= 1 else 1
    workers = Workers.of(processes, sampler.threads, sampler.device, batches)
    if workers.count == 1 or len(labels) != len(seeds):  # the sampler itself says what is wrong with these
        return sampler.sample(recipe, labels, seeds, batch_size=batch_size, progress=progress)
    log.info("sampling by %d processes, threads of each: %d", workers.count, workers.threads)
    starts = range(0, len(seeds), batch_size)
    parts: deque[Part] = deque(
        (start, list(labels[start : start + batch_size]), list(seeds[start : start + batch_size])) for start in starts
    )
    images = np.empty((len(seeds), *sampler.bundle.spec.shape), dtype=np.uint8)
    total = len(recipe.plan) * len(parts)
    bar = Progress(total, "sample", "steps", quiet=not progress)
    with _started(sampler, recipe, workers, batch_size) as team, bar:
        for start, made in _answers(team, parts, bar):
            images[start : start + len(made)] = made
    return images


def _answers(
    team: dict[Connection, SpawnProcess], parts: "deque[Part]", bar: Progress
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Every batch with the place where it begins, as the processes finish them."""
    at_work: dict[Connection, int] = {}

    def hand_out(line: Connection) -> None:
        if parts:
            part = parts.popleft()
            at_work[line] = part[0]
            _send(team, line, part)

    for line in team:
        hand_out(line)
    while at_work:
        for line in cast(list[Connection], wait(list(at_work))):
            answer = _received(team, line)
            if isinstance(answer, DdpmError):
                raise answer
            if answer is None:  # one row of the plan more
                bar.update()
            else:
                start = at_work.pop(line)
                hand_out(line)
                yield start, answer


# ------------------------------------------------------------------------------------------------- the processes


@contextmanager
def _started(
    sampler: Sampler, recipe: Recipe, workers: Workers, batch_size: int
) -> Iterator[dict[Connection, SpawnProcess]]:
    """The processes, each by the line that one speaks to it; they are gone afterwards."""
    # spawn: a fork of a process with threads (onnxruntime's, torch's) may wait for a lock that nobody holds any more
    context = multiprocessing.get_context("spawn")
    team: dict[Connection, SpawnProcess] = {}
    try:
        for number in range(workers.count):
            ours, theirs = context.Pipe()
            task = _Task(
                sampler.bundle,
                sampler.device,
                number,
                workers.threads,
                sampler.engine,
                batch_size,
                recipe,
            )
            process = context.Process(target=_work, args=(task, theirs), name=f"sampler-{number}", daemon=True)
            process.start()
            theirs.close()  # else its end would stay open here when it dies, and nobody would notice
            team[ours] = process
        yield team
    finally:
        for line, process in team.items():
            line.close()
            process.terminate()
        for process in team.values():
            process.join()


def _work(task: _Task, line: Connection) -> None:
    """A process: open the bundle, then make batch after batch until nobody asks any more."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the one who started us ends us
    try:
        try:
            sampler = Sampler(task.bundle, task.device, task.threads, task.gpu, task.engine)
            while True:
                _, labels, seeds = line.recv()
                made = sampler.sample(
                    task.recipe,
                    labels,
                    seeds,
                    batch_size=task.batch_size,
                    gpu_batch=task.batch_size,
                    on_step=lambda done, of: line.send(None),
                )
                line.send(made)
        except DdpmError as error:
            line.send(error)
    except (EOFError, OSError):  # whoever asked has left
        return


def _send(team: dict[Connection, SpawnProcess], line: Connection, part: Part) -> None:
    try:
        line.send(part)
    except OSError as error:
        raise _died(team[line]) from error


def _received(team: dict[Connection, SpawnProcess], line: Connection) -> Any:
    try:
        return line.recv()
    except (EOFError, OSError) as error:
        raise _died(team[line]) from error


def _died(process: SpawnProcess) -> DdpmError:
    process.join()
    code = process.exitcode or 0
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        return TryAgain(
            f"the processes that sample must live until all pictures are made, but one was ended by "
            f"{signal.Signals(-code).name}, as where memory runs out; nothing was written. Run again, with fewer "
            "processes or a smaller batch_size if it was the memory"
        )
    return DdpmError(
        f"the processes that sample must live until all pictures are made, but one ended with exit code {code}; "
        "nothing was written. What it said stands above; with one process the fault is easier to see"
    )
