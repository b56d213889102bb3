"""Where partitions are done: in processes of this machine, or on Dask through Prefect's task runner."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from ddpm_core.errors import ParamsError
from pipelines.runtime.environment import prepare_prefect, quieten
from pipelines.runtime.progress import tracked
from pipelines.runtime.worker_pool import Died, map_in_workers, plain

Item = TypeVar("Item")
Result = TypeVar("Result")

RunnerName = Literal["local", "dask"]
ADDRESS = "DDPM_DASK_ADDRESS"


@dataclass(frozen=True)
class Runner:
    """`runtime.runner`, the number of processes, and the home of their state."""

    name: RunnerName
    workers: int
    home: Path

    def map(self, work: Callable[[Item], Result], items: Sequence[Item], what: str) -> list[Result | Died]:
        """The result of each item, in order; `Died` where the process that had it died. The function and what it
        takes and gives must pickle."""
        if self.name == "dask":
            return self._on_dask(work, items, what)
        setups = [plain(work)] * max(1, min(self.workers, len(items)))
        with closing(map_in_workers(setups, items)) as done:
            return list(tracked(done, what, "partitions", total=len(items)))

    def _on_dask(self, work: Callable[[Item], Result], items: Sequence[Item], what: str) -> list[Result | Died]:
        if importlib.util.find_spec("prefect_dask") is None:
            raise ParamsError(
                "runtime.runner: dask needs the package prefect-dask, which is not installed; run `pip install "
                "'ddpm-pipeline[dask]'`, or set it to local"
            )
        quieten()
        prepare_prefect(self.home)  # before Prefect is imported, which reads its settings then
        from pipelines.partitions.dask_flow import map_on_dask

        return map_on_dask(work, items, what, self.workers, os.environ.get(ADDRESS))
