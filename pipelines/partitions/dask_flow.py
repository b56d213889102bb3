"""Partitions as the tasks of a Prefect flow that Dask works on: the only importer of prefect-dask.

The flow runs inside of the stage. Where the stage was started by a Prefect flow, its server shows the partitions too;
else Prefect starts a server for the time being. The workers need the package, and the project's folder and
`$DDPM_HOME` at the same paths: what they make lies there, and only digests travel back.
"""

import pickle
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from distributed.scheduler import KilledWorker
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect_dask import DaskTaskRunner

from pipelines.runtime.progress import Progress
from pipelines.runtime.worker_pool import Died

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 4  # partitions a worker that are sent before they are wanted


@task(name="partition", cache_policy=NO_CACHE, persist_result=False)
def partition(packed: bytes) -> Any:
    """One partition; packed, so that Prefect need not look through thousands of pictures for a future."""
    work, item = pickle.loads(packed)
    return work(item)


@dataclass(frozen=True)
class _Job:
    work: Callable[[Any], Any]
    items: Sequence[Any]
    what: str
    workers: int


_jobs: list[_Job] = []  # the one that runs; what the flow's function holds itself would travel with every task


def map_on_dask(
    work: Callable[[Item], Result], items: Sequence[Item], what: str, workers: int, address: str | None
) -> list[Result | Died]:
    """By the cluster at this address, else by a local one of so many processes, which ends with the flow."""
    local = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    runner = DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=local)
    _jobs.append(_Job(work, items, what, workers))
    try:
        return partitions.with_options(name=f"{what} partitions", task_runner=runner)()
    finally:
        _jobs.pop()


@flow(persist_result=False, validate_parameters=False)
def partitions() -> list[Any]:
    """Every partition of the job, a few of them sent ahead."""
    return _all_of_job()


def _all_of_job() -> list[Any]:
    job = _jobs[-1]
    packed = (pickle.dumps((job.work, item)) for item in job.items)
    results = []
    with Progress(len(job.items), job.what, "partitions") as progress:
        waiting = deque(partition.submit(each) for each in islice(packed, _AHEAD * job.workers))
        while waiting:
            results.append(_result(waiting.popleft()))
            progress.update()
            waiting.extend(partition.submit(each) for each in islice(packed, 1))
    return results


def _result(future: Any) -> Any:
    try:
        return future.result()
    except KilledWorker:
        return Died(-1)
