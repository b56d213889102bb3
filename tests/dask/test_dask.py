"""Partitions on Dask through Prefect's task runner, on a local cluster of two workers (`make test-dask`)."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.files import atomic_write_json, sha256_file
from pipelines.partitions.runner import ADDRESS, Runner
from pipelines.paths import Paths
from pipelines.runtime.worker_pool import Died
from pipelines.shards.archive import read_index
from pipelines.stages import prepare, shard
from tests.support.pictures import Project, png, write

pytest.importorskip("prefect_dask", reason="prefect-dask is not installed; `make test-dask` brings it and runs this")


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """One Prefect server for all tests: the one that PREFECT_API_URL names, else a temporary one."""
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=240):
        yield


# Work that a worker can import: the tests are no package there.
SQUARED_BY = "({0} * {0}, __import__('os').getpid())"


def test_two_workers_give_every_result_in_order(tmp_path: Path) -> None:
    results = Runner("dask", 2, tmp_path).map(eval, [SQUARED_BY.format(n) for n in range(20)], "tests")
    pids = {result[1] for result in results if not isinstance(result, Died)}
    assert [result[0] for result in results if not isinstance(result, Died)] == [n * n for n in range(20)]
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_an_error_of_the_work_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Runner("dask", 2, tmp_path).map(int, ["1", "no"], "tests")


def run(root: Path, runner: str) -> dict[str, str]:
    """Prepare and pack the same pictures; the digests of all that came of it."""
    write(root / "raw", {f"{c}/{number:04d}.png": png(100 * number + ord(c)) for c in "ab" for number in range(40)})
    project = Project(root)
    project.paths = Paths(root.resolve(), root.resolve() / "home")
    project.examples, project.split = 10, replace(project.split, near_duplicates="ignore")
    params = project.params
    params.runtime.workers, params.runtime.runner = 2, runner
    prepare.run(params, project.paths, None)  # type: ignore[arg-type]
    atomic_write_json(project.paths.contract, {"passed": True})
    shard.run(params, project.paths, None)  # type: ignore[arg-type]
    assert read_index(project.paths.shards).count("train") > 40
    data = root / "data"
    return {str(path.relative_to(data)): sha256_file(path) for path in data.rglob("*") if path.is_file()}


def test_stages_on_dask_give_the_bytes_that_local_processes_give(tmp_path: Path) -> None:
    for name in ("dask", "local"):
        (tmp_path / name).mkdir()
    assert run(tmp_path / "dask", "dask") == run(tmp_path / "local", "local")


def test_a_cluster_is_found_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        own = {worker.pid for worker in cluster.workers.values()}
        monkeypatch.setenv(ADDRESS, cluster.scheduler_address)
        results = Runner("dask", 2, tmp_path).map(eval, [SQUARED_BY.format(n) for n in range(4)], "tests")
    assert {result[1] for result in results if not isinstance(result, Died)} <= own
