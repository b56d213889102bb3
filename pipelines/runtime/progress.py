"""Progress of long work: a bar on a terminal; elsewhere a line in the log every 30 seconds.

for row in tracked(rows, "shard", "examples"): ...
with Progress(total, "sample", "steps") as progress: progress.update()
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")

EVERY_S = 30.0

log = logging.getLogger(__name__)


def _bar(**options: Any) -> "tqdm[Any]":
    from tqdm import tqdm  # the service shows no bar, and starts sooner without it

    return tqdm(**options)


class Progress:
    """Counts completed items. `done` of the total were completed before; `quiet` shows nothing."""

    def __init__(
        self, total: int, what: str, unit: str, *, done: int = 0, leave: bool = True, quiet: bool = False
    ) -> None:
        self.done = done
        self._total, self._what, self._unit, self._first = total, what, unit, done
        self._note = ""
        self._bar: tqdm[Any] | None = None
        self._lines = not quiet
        if not quiet and sys.stderr.isatty():
            self._lines = False
            self._bar = _bar(total=total, initial=done, desc=what, unit=f" {unit}", leave=leave)
        self._began = self._told = _now()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, by: int = 1) -> None:
        """Count more completed items."""
        self.done += by
        if self._bar is not None:
            self._bar.update(by)
        elif self._lines and (now := _now()) - self._told >= EVERY_S:
            self._told = now
            log.info("%s", self._line(now - self._began))

    def note(self, text: str) -> None:
        """Show this text after the numbers from now on."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def _line(self, seconds: float) -> str:
        share = self.done / max(1, self._total)
        rate = (self.done - self._first) / seconds
        words = f"{self._what}: {self.done:,} of {self._total:,} {self._unit} ({share:.0%})"
        if rate > 0:
            pace = f"{rate:.3g} a second" if rate >= 1 else f"{1 / rate:.3g} s each"
            words += f", {pace}, about {duration((self._total - self.done) / rate)} left"
        return f"{words}, {self._note}" if self._note else words


def tracked(items: Iterable[Item], what: str, unit: str, *, total: int, leave: bool = True) -> Iterator[Item]:
    """The items, each counted when the next one is requested."""
    with Progress(total, what, unit, leave=leave) as progress:
        for item in items:
            yield item
            progress.update()


def duration(seconds: float) -> str:
    """A duration in words: `40 s`, `3 min`, `2 h 10 min`."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _now() -> float:
    return time.monotonic()
