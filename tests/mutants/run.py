"""`make test-mutants`: plant the faults one at a time in a copy of the project, and see that the quick tests notice.

    python tests/mutants/run.py [--jobs N] [NAME ...]     all faults, or those named
    python tests/mutants/run.py --named ...               each shown to no more than the tests that it names
    python tests/mutants/run.py --list

Unchanged code must pass first. Of the faults 95 % must be noticed, and each slip of docs/maths.md by a test that its
row there names.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from copies import Copy
from suite import rings
from table import ROOT, Fault, FaultError, named, named_tests

LEAST_KILLED = 0.95

Item = TypeVar("Item")
Result = TypeVar("Result")
Copies = SimpleQueue[Copy]
Rings = list[tuple[str, ...]]


@dataclass(frozen=True)
class Outcome:
    """`killer` is the test that failed first; None: the fault went unnoticed. `ring`: 0 are a slip's own tests."""

    fault: Fault
    killer: str | None
    ring: int
    seconds: float

    @property
    def as_documented(self) -> bool:
        """Of a slip: the test that noticed is one that docs/maths.md names."""
        return self.fault.slip is None or (self.killer is not None and self.ring == 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--named", action="store_true", help="run no more than the tests that a fault names")
    parser.add_argument("--list", action="store_true", help="show the names of all faults and end")
    args = parser.parse_args()
    try:
        chosen = named(args.names)
        if args.list:
            return show("\n".join(f"{fault.name:52} {fault.file}" for fault in chosen))
        for fault in chosen:
            fault.planted(ROOT)
        return judge(chosen, max(1, args.jobs), first_alone if args.named else rings_of)
    except FaultError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def rings_of(fault: Fault) -> Rings:
    return rings(fault.file, named_tests(fault))


def first_alone(fault: Fault) -> Rings:
    """The tests that a fault names; of one that names none, those of its module."""
    return rings_of(fault)[:1]


def judge(chosen: list[Fault], jobs: int, shown: Callable[[Fault], Rings]) -> int:
    """Run them all, each on the tests that it is shown; 0 where enough were noticed."""
    began = time.monotonic()
    with ExitStack() as stack:
        copies: Copies = SimpleQueue()
        for _ in range(jobs):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ddpm-mutants-")))
            copies.put(stack.enter_context(Copy(folder / "tree")))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        red = list(unchanged(pool, copies, [ring for fault in chosen for ring in shown(fault)]))
        if red:
            raise FaultError("the tests must pass on unchanged code before faults are planted:\n" + "\n".join(red))
        show(f"unchanged code passes ({time.monotonic() - began:.0f} s); {len(chosen)} faults, {jobs} at a time\n")
        outcomes = list(planted(pool, copies, chosen, shown))
    return verdict(outcomes, time.monotonic() - began)


def unchanged(pool: ThreadPoolExecutor, copies: Copies, needed_rings: Rings) -> Iterator[str]:
    """What fails without any fault."""
    needed = sorted({test for ring in needed_rings for test in ring})
    whole = [test for test in needed if not any(test != other and _within(test, other) for other in needed)]

    def attempt(test: str, copy: Copy) -> str | None:
        killer = copy.first_failure((test,))
        return None if killer is None else f"  {killer}"

    yield from filter(None, each(pool, copies, attempt, whole))


def _within(test: str, other: str) -> bool:
    return test.startswith((f"{other}/", f"{other}::"))


def planted(
    pool: ThreadPoolExecutor, copies: Copies, chosen: list[Fault], shown: Callable[[Fault], Rings]
) -> Iterator[Outcome]:
    """The outcome of each fault, told as it comes."""
    work = partial(tried, shown=shown)
    for number, outcome in enumerate(each(pool, copies, work, chosen), start=1):
        show(line(number, len(chosen), outcome))
        yield outcome


def each(
    pool: ThreadPoolExecutor, copies: Copies, work: Callable[[Item, Copy], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """`work` on every item, each with a copy to itself while it lasts; the results as they come."""

    def with_a_copy(item: Item) -> Result:
        copy = copies.get()
        try:
            return work(item, copy)
        finally:
            copies.put(copy)

    for future in as_completed([pool.submit(with_a_copy, item) for item in items]):
        yield future.result()


def tried(fault: Fault, copy: Copy, shown: Callable[[Fault], Rings] = rings_of) -> Outcome:
    """Plant one fault, run ring after ring until a test fails, and take the fault out again."""
    began = time.monotonic()
    with copy.changed(fault.file, fault.planted(copy.tree)):
        for number, ring in enumerate(shown(fault)):
            killer = copy.first_failure(ring)
            if killer is not None:
                return Outcome(fault, killer, number, time.monotonic() - began)
    return Outcome(fault, None, -1, time.monotonic() - began)


def line(number: int, of: int, outcome: Outcome) -> str:
    if outcome.killer is None:
        said = f"SURVIVED: {outcome.fault.survives or 'no reason is given'}"
    elif outcome.as_documented:
        said = outcome.killer
    else:
        said = f"{outcome.killer}, BUT BY NO TEST OF ITS ROW IN docs/maths.md"
    return f"{number:4}/{of}  {outcome.seconds:6.1f} s  {outcome.fault.name:52}  {said}"


def verdict(outcomes: list[Outcome], seconds: float) -> int:
    """The sums, what went unnoticed with its reason, and the exit code."""
    killed = sum(outcome.killer is not None for outcome in outcomes)
    share = killed / len(outcomes)
    noticed = f"{killed} of {len(outcomes)} faults noticed, {share:.1%}"
    show(f"\n{noticed} (at least {LEAST_KILLED:.0%} must be), {seconds:.0f} s")
    for outcome in outcomes:
        fault = outcome.fault
        if outcome.killer is None:
            show(f"  unnoticed: {fault.name}: {fault.survives or 'no reason is given'}")
        elif not outcome.as_documented:
            show(f"  {fault.name}: not noticed by a test that docs/maths.md names for the slip {fault.slip!r}")
    return 0 if share >= LEAST_KILLED and all(outcome.as_documented for outcome in outcomes) else 1


def show(text: str) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
