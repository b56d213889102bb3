"""The number of threads of a stage: OMP_NUM_THREADS, else `runtime.threads`, else the number of free processors.

Decided once, before numpy or torch is imported, and put into the environment for their libraries. Threads change the
last bits of a sum, so outputs record the number, and a resumed training keeps the one it began with.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Literal

from ddpm_core.errors import ParamsError
from pipelines.runtime.environment import THREADS

Asked = int | Literal["auto"]

# Our value of OMP_NUM_THREADS, as `number`: it tells a child process that no user wrote it. If we launch several
# processes it is `number:fixed`, or `number:user`, with the number that they share.
OURS = "DDPM_THREADS"
MOST = 8  # the maximum of `auto`; more was not measured
_LOOK_SECONDS, _LOOKS = 0.2, 4
_log = logging.getLogger(__name__)


def settle(asked: object, environment: MutableMapping[str, str] = os.environ) -> int | None:
    """The number of threads, put into the environment for the libraries and for child processes.

    Does nothing and gives None if `asked` is neither a number nor `auto`: the parameters are checked later.
    """
    fixed = _fixed(environment)
    if fixed is not None:
        return fixed
    number = users(environment)
    if number is not None:
        for name in THREADS:
            environment.setdefault(name, str(number))
        return number
    if asked == "auto":
        number = measured()
        _log.info("threads: %d, as many as are free on this machine now (runtime.threads: auto)", number)
    elif isinstance(asked, int) and asked >= 1:
        number = asked
    else:
        return None
    _put(number, str(number), environment)
    return number


def in_use(asked: Asked, environment: MutableMapping[str, str] = os.environ) -> int:
    """The number of threads of a stage: what was decided before, or else now."""
    for number in (_fixed(environment), users(environment), None if asked == "auto" else asked):
        if number is not None:
            return number
    settled = environment.get(OURS, "")
    return int(settled) if settled.isdigit() else settle("auto", environment) or 1


def users(environment: Mapping[str, str] = os.environ) -> int | None:
    """The number that the user set as OMP_NUM_THREADS; None if it is not set, ours or a launcher's."""
    value = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # OpenMP allows a list, for nested work
    if not value or (OURS in environment and environment[OURS] == value) or _fixed(environment) is not None:
        return None
    if value == "1" and environment.get("LOCAL_WORLD_SIZE", "1") != "1":
        return None  # torchrun sets it if it was not set
    if not value.isdigit() or int(value) < 1:
        raise ParamsError(f"OMP_NUM_THREADS: must be a whole number of at least 1, got {value!r}; correct or unset it")
    return int(value)


def is_users(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the user set the number in use, here or in the process that launched this one."""
    return environment.get(OURS, "").endswith(":user") or users(environment) is not None


def share(number: int, processes: int, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the environment for several processes: each gets its part of the threads, and the total."""
    how = "user" if is_users(environment) else "fixed"
    _put(max(1, number // processes), f"{number}:{how}", environment)


def measured(
    look: Callable[[], float | None] | None = None,
    *,
    system: Path = Path("/"),
) -> int:
    """The number of processors that are available and idle: at least 1, at most `MOST`."""
    ours = min(len(os.sched_getaffinity(0)), quota(system))
    if ours == 1:
        return 1
    free = 0.0
    for _ in range(_LOOKS):  # the largest sample: short bursts of work are no load
        seen = (look or (lambda: free_processors(system)))()
        free = max(free, float(ours) if seen is None else seen)
        if round(free) >= min(ours, MOST):
            break
    return max(1, min(ours, MOST, round(free)))


# ---------------------------------------------------------------------------------------------------- measuring


def free_processors(system: Path = Path("/"), seconds: float = _LOOK_SECONDS) -> float | None:
    """The number of our processors that were idle while we slept; None if the system does not tell."""
    first = _idle_and_total(system)
    time.sleep(seconds)
    second = _idle_and_total(system)
    total = sum(after[1] - before[1] for before, after in zip(first, second, strict=True))
    if not first or len(first) != len(second) or total <= 0:
        return None
    idle = sum(after[0] - before[0] for before, after in zip(first, second, strict=True))
    return len(first) * idle / total


def quota(system: Path = Path("/")) -> int:
    """Whole processors that the control groups (version 2 or 1) allow this process; a large number without a limit."""
    allowed = [1 << 20]
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            allowed += [_of_two(_text(place / "cpu.max")) for place in _upwards(system / "sys/fs/cgroup", group)]
        elif "cpu" in controllers.split(","):
            for place in _upwards(system / "sys/fs/cgroup" / controllers, group):
                times = _text(place / "cpu.cfs_quota_us"), _text(place / "cpu.cfs_period_us")
                allowed.append(_of_two(" ".join(times)))
    return max(1, min(allowed))


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of a group and its parents."""
    place = mount / group.lstrip("/")
    return [place, *(parent for parent in place.parents if parent.is_relative_to(mount))]


def _of_two(text: str) -> int:
    """Processors of `quota period` in microseconds; a large number for none."""
    words = text.split()
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit() or int(words[1]) == 0:
        return 1 << 20
    return int(words[0]) // int(words[1])


def _idle_and_total(system: Path) -> list[tuple[int, int]]:
    """For each processor that we may use: idle ticks and all ticks."""
    found = []
    mine = os.sched_getaffinity(0)
    for line in _text(system / "proc/stat").splitlines():
        name, *words = line.split() or [""]
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in mine:
            ticks = [int(word) for word in words[:8]]  # user nice system idle iowait irq softirq steal
            found.append((sum(ticks[3:5]), sum(ticks)))
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def _fixed(environment: Mapping[str, str]) -> int | None:
    number, _, how = environment.get(OURS, "").partition(":")
    return int(number) if how in ("fixed", "user") and number.isdigit() else None


def _put(number: int, ours: str, environment: MutableMapping[str, str]) -> None:
    before = environment.get(OURS, "").partition(":")[0]
    for name in THREADS:
        if name == "OMP_NUM_THREADS" or environment.get(name) in (None, before):  # keeps the user's own value
            environment[name] = str(number)
    environment[OURS] = ours
