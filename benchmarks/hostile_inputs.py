"""Damaged pictures, archives and tables through the sources of pictures: each must be accounted for, with a reason.

    python benchmarks/hostile_inputs.py --inputs 2000 --cpu-seconds 180

Each input is a real small one with some bytes changed, by its form and seed. A worker process lists it and reads every
picture. What is counted: sources that refuse it as a whole, with a reason; pictures that are accepted; pictures that
are refused, with a reason; and, which must be none, other exceptions, processes that died or took too long, and answers
that grew past a limit of memory. Ctrl-C or SIGTERM ends it early, with what was done.
"""

import argparse
import json
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # our packages, where they are not installed

from benchmarks.hostile_files import FORMS, hostile_input
from ddpm_core.errors import DataError
from pipelines.kinds.pictures.rows.prepare import outcome_of
from pipelines.kinds.prepared import Accepted

_SECONDS = 20  # that one input may take
_MEMORY = 3 << 30  # of addresses in the worker, which holds numpy, Arrow and Pillow


def one(form: str, seed: int, root: Path) -> Counter[str]:
    """What became of the pictures of one input; an exception that is no DataError is a fault and leaves this."""
    source, _ = hostile_input(form, seed, root)
    try:
        listing = source.listing(root)
    except DataError as error:
        return Counter(refused_whole=1 if str(error).startswith("source.") else 0)
    told: Counter[str] = Counter()
    for found in listing.found:
        outcome = outcome_of(found, source.rules(), bool(listing.classes))
        if isinstance(outcome, Accepted):
            told["accepted"] += 1
        elif outcome.reason:
            told["quarantined"] += 1
    told["found"] = len(listing.found)
    return told


def worker(line: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    while True:
        form, seed, folder = line.recv()
        try:
            counts, fault = dict(one(form, seed, Path(folder))), None
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
            counts, fault = {}, repr(error)[:300]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        line.send((counts, fault, time.process_time(), peak))


class Reader:
    """A worker process, started again after it has died."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0  # of the process that lives
        self.peak = 0  # bytes of memory, the most of any process
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, other = context.Pipe()
        self._process = context.Process(target=worker, args=(other,), daemon=True)
        self._process.start()
        other.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def ask(self, form: str, seed: int, folder: str) -> tuple[dict[str, int], str | None]:
        try:
            self._line.send((form, seed, folder))
            if self._line.poll(_SECONDS):
                counts, told, self.cpu_seconds, peak = self._line.recv()
                self.peak = max(self.peak, peak)
                return counts, told
            fault = f"took more than {_SECONDS} s"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join()
            fault = f"the process died with exit code {self._process.exitcode}"
        self.end()
        self._start()
        return {}, fault

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--cpu-seconds", type=float, default=180.0, help="of the worker, after which it stops")
    args = parser.parse_args()
    reader = Reader()
    told: dict[str, Counter[str]] = {form: Counter() for form in FORMS}
    faults: list[str] = []
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell has Ctrl-C ignored by what runs behind it
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # the results so far are printed
        for number in range(args.inputs):
            form, seed = FORMS[number % len(FORMS)], args.seed + number // len(FORMS)
            with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
                counts, fault = reader.ask(form, seed, folder)
            told[form].update({"inputs": 1, **counts})
            if fault := fault or fault_of(counts):
                faults.append(f"FAULT {form} seed {seed}: {fault}\n")
            if reader.cpu_seconds > args.cpu_seconds:
                break
    reader.end()
    for form, of_form in told.items():
        sys.stdout.write(f"{form:10} {json.dumps(of_form, sort_keys=True)}\n")
    inputs = sum(of_form["inputs"] for of_form in told.values())
    sys.stdout.write(
        f"inputs {inputs}, faults {len(faults)}, {reader.cpu_seconds:.0f} CPU seconds, at most "
        f"{reader.peak / 1e6:.0f} MB of memory\n"
    )
    sys.stdout.writelines(faults)
    sys.exit(1 if faults else 0)


def fault_of(counts: Mapping[str, int]) -> str | None:
    """What the counts of one input break: all that was found is accepted or refused, or the input is, with a reason."""
    if counts.get("found", 0) != counts.get("accepted", 0) + counts.get("quarantined", 0):
        return f"not accounted for: {counts}"
    if not counts.get("found") and not counts.get("refused_whole"):
        return f"neither a reason nor a picture: {counts}"
    return None


if __name__ == "__main__":
    main()
