"""The quick tests with coverage: `make test`. Where there are two cores, each half in a process of its own."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HALVES = (
    ["tests/e2e", "tests/test_rooms.py", "tests/pipelines/tools"],
    ["tests", "--ignore=tests/e2e", "--ignore=tests/test_rooms.py", "--ignore=tests/pipelines/tools"],
)
LEAST_COVERAGE = 85
NOTHING_COLLECTED = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    os.chdir(Path(__file__).resolve().parent.parent)
    began = time.monotonic()
    coverage("erase")
    codes = run_halves() if args.processes > 1 else [start(["tests"]).wait()]
    coverage("combine", "--quiet")
    covered = coverage("report", "--skip-covered", f"--fail-under={LEAST_COVERAGE}")
    passed = all(code in (0, NOTHING_COLLECTED) for code in codes)
    sys.stdout.write(f"{'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s\n")
    return 0 if passed and covered == 0 else 1


def run_halves() -> list[int]:
    """Both at once; the first one's output as it comes, the second one's after it."""
    behind = Path(".coverage.second-half.txt")
    with behind.open("w", encoding="utf-8") as file:
        second = start(HALVES[1], stdout=file, stderr=subprocess.STDOUT)
        codes = [start(HALVES[0]).wait(), second.wait()]
    sys.stdout.write(behind.read_text(encoding="utf-8"))
    behind.unlink()
    return codes


def start(paths: list[str], **streams: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", "-m", "not slow", *paths]
    return subprocess.Popen(command, **streams)  # type: ignore[call-overload]


def coverage(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "coverage", *words]).returncode


if __name__ == "__main__":
    sys.exit(main())
