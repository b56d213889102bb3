"""How many threads: the user's environment, else the parameter, else what is free; a child knows whose it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import ParamsError
from pipelines.runtime import threads
from pipelines.runtime.environment import THREADS
from pipelines.runtime.threads import (
    MOST,
    OURS,
    free_processors,
    in_use,
    is_users,
    measured,
    quota,
    settle,
    share,
    users,
)


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


# -------------------------------------------------------------------------------------------------- what counts


@pytest.mark.parametrize(("asked", "free", "expected"), [(3, 2.0, 3), ("auto", 2.0, 2), ("auto", 1.1, 1)])
def test_the_parameter_counts_where_the_user_set_nothing(
    asked: Any, free: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "measured", lambda: round(free))
    environment: dict[str, str] = {}
    assert settle(asked, environment) == expected
    assert {environment[name] for name in THREADS} == {str(expected)}
    assert in_use(asked, environment) == expected


@pytest.mark.parametrize("asked", [3, "auto"])
def test_the_users_environment_overrides_the_parameter(asked: Any) -> None:
    environment = {"OMP_NUM_THREADS": "5"}
    assert settle(asked, environment) == 5
    assert in_use(asked, environment) == 5
    assert environment == dict.fromkeys(THREADS, "5")


def test_what_we_settled_is_not_taken_for_the_users_by_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {"MKL_NUM_THREADS": "7"}
    monkeypatch.setattr(threads, "measured", lambda: 2)
    settle("auto", environment)
    monkeypatch.setattr(threads, "measured", lambda: 1)  # more is at work when the child starts
    assert users(environment) is None
    assert settle("auto", environment) == 1
    assert (environment["OMP_NUM_THREADS"], environment["OPENBLAS_NUM_THREADS"]) == ("1", "1")
    assert environment["MKL_NUM_THREADS"] == "7"
    environment["OMP_NUM_THREADS"] = "4"  # a user, in between
    assert settle("auto", environment) == 4


def test_a_number_is_settled_once_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(threads, "measured", lambda: 2)
    settle("auto", environment)
    monkeypatch.setattr(threads, "measured", lambda: pytest.fail("measured again"))
    assert in_use("auto", environment) == 2


def test_processes_that_share_know_the_whole_and_measure_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    share(6, 4, environment)
    monkeypatch.setattr(threads, "measured", lambda: pytest.fail("measured"))
    assert environment["OMP_NUM_THREADS"] == "1"
    assert settle("auto", environment) == in_use("auto", environment) == in_use(2, environment) == 6
    assert users(environment) is None
    assert not is_users(environment)


def test_processes_that_share_what_the_user_set_know_that_too() -> None:
    environment = {"OMP_NUM_THREADS": "4"}
    share(in_use(2, environment), 2, environment)
    assert environment["OMP_NUM_THREADS"] == "2"
    assert in_use(2, environment) == 4
    assert is_users(environment)


def test_what_torchrun_writes_is_not_the_users() -> None:
    assert users({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}) is None
    assert users({"OMP_NUM_THREADS": "3", "LOCAL_WORLD_SIZE": "2"}) == 3


def test_openmp_lists_and_faults_of_the_environment() -> None:
    assert users({"OMP_NUM_THREADS": "4,2"}) == 4
    assert users({"OMP_NUM_THREADS": ""}) is None
    for bad in ("0", "-1", "two"):
        with pytest.raises(ParamsError, match=f"OMP_NUM_THREADS.*{bad}"):
            users({"OMP_NUM_THREADS": bad})


@pytest.mark.parametrize("asked", [None, 0, "many", 1.5, True and "2"])
def test_what_is_no_number_is_left_to_the_judge_of_parameters(asked: Any) -> None:
    environment: dict[str, str] = {}
    assert settle(asked, environment) is None
    assert environment == {}


# ---------------------------------------------------------------------------------------------------- measuring


@pytest.mark.parametrize(
    ("free", "expected"), [(2.0, 2), (1.8, 2), (1.6, 2), (1.4, 1), (1.0, 1), (0.4, 1), (0.0, 1), (None, 2)]
)
def test_as_many_as_are_free_and_at_least_one(free: float | None, expected: int, tmp_path: Path) -> None:
    assert measured(lambda: free, system=tmp_path) == expected


def test_what_comes_and_goes_is_no_load_and_a_machine_that_is_free_is_looked_at_once(tmp_path: Path) -> None:
    looks = iter([0.9, 1.2, 1.9])
    assert measured(lambda: next(looks), system=tmp_path) == 2
    looks = iter([1.9])
    assert measured(lambda: next(looks), system=tmp_path) == 2


def test_a_quota_and_a_limit_come_before_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    assert measured(lambda: 64.0, system=tmp_path) == MOST
    limited = system(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "350000 100000\n"})
    assert measured(lambda: 64.0, system=limited) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5})
    assert measured(lambda: pytest.fail("looked"), system=limited) == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_whole_processors_of_the_control_group(files: dict[str, str], expected: int | None, tmp_path: Path) -> None:
    found = quota(system(tmp_path, files))
    assert found == expected if expected is not None else found > 4096


def stat(*processors: tuple[int, int]) -> str:
    """/proc/stat of (busy, idle) ticks a processor."""
    rows = [f"cpu{i} {busy} 0 0 {idle} 0 0 0 0 0 0" for i, (busy, idle) in enumerate(processors)]
    return "\n".join(["cpu  1 2 3 4 5 6 7 8 0 0", *rows, "intr 1 2 3", ""])


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (((100, 120), (100, 120), (120, 100)), 2.0),  # the third is not ours
        (((120, 100), (100, 120), (100, 120)), 1.0),
        (((120, 100), (120, 100), (100, 120)), 0.0),
        (((100, 100), (100, 100), (100, 100)), None),
    ],
)
def test_free_is_what_was_idle_meanwhile_on_processors_of_ours(
    later: Any, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = system(tmp_path, {"proc/stat": stat((100, 100), (100, 100), (100, 100))})
    monkeypatch.setattr(threads.time, "sleep", lambda _s: system(root, {"proc/stat": stat(*later)}))
    assert free_processors(root) == expected


def test_a_system_that_does_not_tell_gives_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.time, "sleep", lambda _s: None)
    assert free_processors(tmp_path) is None
    assert measured(system=tmp_path) == 2


# ------------------------------------------------------------------------------------------------ in a process


PROGRAM = """
import json, sys
from types import SimpleNamespace
from pipelines.commands.common import checked_params
from pipelines.paths import Paths
from pathlib import Path
params = checked_params(Paths.of(Path(sys.argv[1])), computes=True)
from ddpm_core.device import make_repeatable
from pipelines.runtime.threads import in_use
make_repeatable(in_use(params.runtime.threads))
import torch
print(json.dumps([params.runtime.threads, torch.get_num_threads()]))
"""


@pytest.mark.parametrize(("set_to", "expected"), [("3", 3), (None, 2)])
def test_torch_has_the_threads_of_the_environment_before_those_of_the_parameters(
    set_to: str | None, expected: int, tmp_path: Path
) -> None:
    root = Path(threads.__file__).parents[2]
    text = (root / "params.yaml").read_text()
    before, found, after = text.partition("\n  threads: ")
    assert found
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text((root / name).read_text())
    (tmp_path / "params.yaml").write_text(f"{before}{found}2 {after[after.index('#') :]}")
    environment = {name: value for name, value in os.environ.items() if name not in (*THREADS, OURS)}
    environment |= {"PYTHONPATH": str(root)} | ({} if set_to is None else {"OMP_NUM_THREADS": set_to})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [2, expected]
