"""Sampling by several processes of this machine, each with a network of its own.

One batch is one item of work, and the batches are those of a single process: the number of processes changes no byte.
On GPUs each process has one of its own.
"""

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.bundle.format import Bundle
from ddpm_core.errors import DdpmError, DeviceError, ParamsError, TryAgain
from pipelines.runtime.progress import Progress
from pipelines.runtime.worker_pool import Died, Tick, map_in_workers
from pipelines.sampling.bundle_sampler import Conditions, Engine, Sampler
from pipelines.sampling.onnx_denoiser import gpu_count
from pipelines.sampling.recipe import Recipe

log = logging.getLogger(__name__)

Batch = tuple[Sequence[int], Conditions]
"""Seeds and conditions."""


@dataclass(frozen=True)
class Workers:
    """How many processes sample, and on what."""

    count: int
    threads: int  # of each
    gpus: int  # 0: they work on the CPU

    @classmethod
    def of(cls, asked: int | Literal["auto"], threads: int, device: str, batches: int) -> "Workers":
        """As many as asked for, `auto` for one a thread or GPU, but not more than there are batches.

        `device` is the sampler's: cpu or cuda.
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
class _Setup:
    """What a process needs to sample; calling it opens the network."""

    bundle: Bundle
    device: str
    gpu: int
    threads: int
    engine: Engine
    batch_size: int
    recipe: Recipe

    def __call__(self, tick: Tick) -> Callable[[Batch], NDArray[Any]]:
        sampler = Sampler(self.bundle, self.device, self.threads, self.gpu, self.engine)

        def sample(batch: Batch) -> NDArray[Any]:
            size = self.batch_size
            return sampler.sample(
                self.recipe, *batch, batch_size=size, gpu_batch=size, on_step=lambda done, total: tick()
            )

        return sample


def sample_in_parallel(
    sampler: Sampler,
    recipe: Recipe,
    seeds: Sequence[int],
    cond: Mapping[str, Any] | None = None,
    *,
    processes: int | Literal["auto"],
    batch_size: int = 64,
    progress: bool = False,
) -> NDArray[Any]:
    """The data of `sampler.sample`, made by so many processes; in this process where one is enough."""
    batches = -(-len(seeds) // batch_size) if batch_size >= 1 else 1
    workers = Workers.of(processes, sampler.threads, sampler.device, batches)
    if workers.count == 1:
        return sampler.sample(recipe, seeds, cond, batch_size=batch_size, progress=progress)
    told = sampler.bundle.spec.conditions_for(cond or {}, len(seeds))
    log.info("sampling by %d processes, threads of each: %d", workers.count, workers.threads)
    starts = range(0, len(seeds), batch_size)
    parts = [
        (list(seeds[at : at + batch_size]), {name: each[at : at + batch_size] for name, each in told.items()})
        for at in starts
    ]
    setups = [
        _Setup(sampler.bundle, sampler.device, gpu, workers.threads, sampler.engine, batch_size, recipe)
        for gpu in range(workers.count)
    ]
    samples = np.empty((len(seeds), *sampler.bundle.spec.shape), dtype=sampler.bundle.spec.dtype)
    with (
        Progress(recipe.rows * batches, "sample", "steps", quiet=not progress) as bar,
        closing(map_in_workers(setups, parts, on_tick=bar.update)) as results,
    ):
        for start, result in zip(starts, results, strict=True):
            if isinstance(result, Died):
                raise _error(result)
            samples[start : start + len(result)] = result
    return samples


def _error(death: Died) -> DdpmError:
    if death.exit_code in (-signal.SIGKILL, -signal.SIGTERM):
        return TryAgain(
            f"a sampling process was ended by {signal.Signals(-death.exit_code).name}, as happens where memory runs "
            "out; nothing was written. Run again, with fewer processes or a smaller batch_size if it was the memory"
        )
    return DdpmError(
        f"a sampling process ended with exit code {death.exit_code}; nothing was written. Its own output is above; run "
        "with one process to find the fault"
    )
