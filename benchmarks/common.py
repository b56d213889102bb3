"""What the comparisons share: two sides or more take turns in one process, and CPU seconds are compared.

CPU seconds of the process do not count what other work on the machine takes, so ratios hold on a busy one; the wall
stands beside them. Import this before numpy and torch: one thread, unless OMP_NUM_THREADS says otherwise.
"""

import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.append(str(Path(__file__).parents[1]))  # our packages, where they are not installed


@dataclass(frozen=True)
class Times:
    """Seconds of each repeat, of the processor and of the wall."""

    cpu: tuple[float, ...]
    wall: tuple[float, ...]

    @property
    def median_cpu(self) -> float:
        return median(self.cpu)

    @property
    def median_wall(self) -> float:
        return median(self.wall)

    @property
    def spread(self) -> float:
        """How far the repeats lie apart, as a share of their median."""
        return (max(self.cpu) - min(self.cpu)) / self.median_cpu


def interleaved(sides: dict[str, Callable[[], object]], repeats: int, warmups: int = 1) -> dict[str, Times]:
    """Run the sides in turn, each round in the opposite order of the last: no side always comes after another."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(warmups + repeats):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            gc.collect()
            seconds = timed(sides[name])
            if number >= warmups:
                taken[name].append(seconds)
    return {
        name: Times(tuple(cpu for cpu, _ in rounds), tuple(wall for _, wall in rounds))
        for name, rounds in taken.items()
    }


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def machine(*packages: str) -> str:
    """The processor, the threads, the date and the versions that a result belongs to."""
    there = []
    for name in packages:
        try:
            there.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            there.append(f"{name} not installed")
    threads = os.environ["OMP_NUM_THREADS"]
    return f"{processor()}, {os.cpu_count()} cores, threads {threads}; {time.strftime('%F')}; {', '.join(there)}"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def needs(package: str) -> None:
    """Stop with a word where a peer is missing."""
    try:
        version(package)
    except PackageNotFoundError:
        raise SystemExit(
            f"{package} is not installed: run this with .venv-peers/bin/python (`make install-peers`)"
        ) from None
