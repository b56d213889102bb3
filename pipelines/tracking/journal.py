"""A run's records, written to a local file first: nothing that is logged waits for a server, or is lost with one.

A journal is a folder under the spool: `events.jsonl` (the first line says which run the others belong to), `files/`
(copies of the files that were logged) and `state.json` (how far the store has them). Whoever writes it holds a lock on
it; what a dead process left behind can be taken over by the next one. Times are written with the records, so a record
sent twice is the same record.
"""

import fcntl
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from ddpm_core.files import atomic_write_json

_log = logging.getLogger(__name__)
_CHUNK_LINES = 900

Event = dict[str, Any]


class StoreDown(Exception):
    """The store did not take the records now; they stay where they are and are sent later. `mend` says what helps."""

    def __init__(self, text: str, mend: str = "Start it, or set MLFLOW_TRACKING_URI to one that runs.") -> None:
        super().__init__(text)
        self.mend = mend


class StoreAway(StoreDown):
    """Nobody answers, or not in time: it may be up again soon."""


class RunGone(StoreDown):
    """The store answers, but the run that the records belong to is not in it (any more)."""


class Sink(Protocol):
    """Where records go in the end."""

    def open_run(self, header: Event) -> str | None:
        """The id of the run that the header describes, made if need be; None when it has all of this already."""

    def send(self, run_id: str, events: list[Event]) -> None:
        """Store the records, or raise StoreDown. Records that were stored before change nothing."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Journal:
    """A journal being written. Only the disk can make `append` wait, and nothing can make it raise.

    Where the disk does not let a journal begin, `fault` says why, and all that it is told is lost.
    """

    def __init__(self, spool: Path, header: Event) -> None:
        self.folder = spool / f"{time.time_ns():020d}-{os.getpid()}"
        self.fault: OSError | None = None
        self._events: TextIO | None = None
        self._lock = threading.Lock()
        self._files = 0
        self._said = False
        try:
            self._begin()
        except OSError as error:
            self.fault = error
            self._warn(error)
        self.append(header)

    def _begin(self) -> None:
        partial = self.folder.with_name(f".{self.folder.name}.part")
        partial.mkdir(parents=True)
        self._events = (partial / "events.jsonl").open("a", encoding="utf-8")
        fcntl.flock(self._events, fcntl.LOCK_EX)
        partial.rename(self.folder)

    def append(self, event: Event) -> None:
        try:
            with self._lock:
                if self._events is not None and not self._events.closed:
                    self._events.write(json.dumps(event) + "\n")
                    self._events.flush()
        except (OSError, ValueError, TypeError) as error:
            self._warn(error)

    def keep(self, path: Path, folder: str) -> None:
        """Copy a file or a folder beside the records, so that it may change or go after this."""
        if self.fault is not None:
            return
        with self._lock:
            self._files += 1
            place = Path("files") / f"{self._files:05d}" / path.name
        try:
            (self.folder / place).parent.mkdir(parents=True)
            if path.is_dir():
                shutil.copytree(path, self.folder / place)
            else:
                shutil.copyfile(path, self.folder / place)
        except OSError as error:
            self._warn(error)
            return
        self.append({"event": "file", "path": str(place), "folder": folder})

    def close(self) -> None:
        with self._lock, suppress(OSError):
            if self._events is not None:
                self._events.close()

    def _warn(self, error: Exception) -> None:
        if not self._said:
            _log.warning("A record of the run could not be written to %s (%s); the work goes on.", self.folder, error)
            self._said = True


@dataclass(frozen=True)
class _State:
    run_id: str
    offset: int


def waiting(spool: Path) -> list[Path]:
    """The journals that a store has not got whole, oldest first."""
    if not spool.is_dir():
        return []
    return sorted(
        path for path in spool.iterdir() if not path.name.startswith(".") and (path / "events.jsonl").exists()
    )


def ship(folder: Path, sink: Sink) -> bool:
    """Send what a journal holds beyond what was sent before; True when it is complete, and then it is removed."""
    try:
        return _ship(folder, sink)
    except RunGone:  # another store than before, or the run was deleted: all of it again, into a new run
        (folder / "state.json").unlink(missing_ok=True)
        return _ship(folder, sink)


def _ship(folder: Path, sink: Sink) -> bool:
    state = _read_state(folder)
    if state is None:
        header = _header(folder)
        if header is None:
            return False
        run_id = sink.open_run(header)
        if run_id is None:
            shutil.rmtree(folder)
            return True
        state = _State(run_id, 0)
        _write_state(folder, state)
    for events, offset in _chunks(folder, state.offset):
        sink.send(state.run_id, [_absolute(event, folder) for event in events])
        _write_state(folder, _State(state.run_id, offset))
        if any(event["event"] == "end" for event in events):
            shutil.rmtree(folder)
            return True
    return False


def ship_left_behind(spool: Path, sink: Sink, own: Path | None = None) -> int:
    """Send the journals of processes that live no more, oldest first and up to `own`; returns how many were sent."""
    sent = 0
    for folder in waiting(spool):
        if own is not None and folder >= own:
            break
        with _taken_over(folder) as taken:
            if taken:
                if not ship(folder, sink):
                    _end_abandoned(folder, sink)
                sent += 1
    if sent:
        _log.info("%d journal%s that had waited for the tracking store went to it.", sent, "s" * (sent > 1))
    return sent


def run_id_of(folder: Path) -> str | None:
    """The id that the store gave the run of a journal, once it has."""
    state = _read_state(folder)
    return None if state is None else state.run_id


@contextmanager
def _taken_over(folder: Path) -> Iterator[bool]:
    """Hold the lock of a journal whose writer is gone; False when it is being written or sent by another."""
    path = folder / "events.jsonl"
    try:
        file = path.open("r")
    except FileNotFoundError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield path.exists()


def _end_abandoned(folder: Path, sink: Sink) -> None:
    """The writer died without a word: its run is closed as killed, and continued if the same work starts again."""
    state = _read_state(folder)
    if state is not None:
        sink.send(state.run_id, [{"event": "end", "status": "KILLED", "time": now_ms()}])
    shutil.rmtree(folder)


def _header(folder: Path) -> Event | None:
    with (folder / "events.jsonl").open("rb") as file:
        line = file.readline()
    return _parsed(line) if line.endswith(b"\n") else None


def _chunks(folder: Path, offset: int) -> Iterator[tuple[list[Event], int]]:
    """Whole lines after `offset`, some hundreds at a time, with the offset behind them; a torn last line waits."""
    with (folder / "events.jsonl").open("rb") as file:
        file.seek(offset)
        events: list[Event] = []
        for line in iter(file.readline, b""):
            if not line.endswith(b"\n"):
                break
            event = _parsed(line)
            if event is not None and event["event"] != "open":
                events.append(event)
            offset += len(line)
            if len(events) >= _CHUNK_LINES:
                yield events, offset
                events = []
        if events:
            yield events, offset


def _parsed(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        _log.warning("A damaged record in the tracking spool was left out.")
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _absolute(event: Mapping[str, Any], folder: Path) -> Event:
    return {**event, "path": str(folder / event["path"])} if event["event"] == "file" else dict(event)


def _read_state(folder: Path) -> _State | None:
    try:
        value = json.loads((folder / "state.json").read_text())
        return _State(run_id=str(value["run_id"]), offset=int(value["offset"]))
    except (OSError, ValueError, KeyError):
        return None


def _write_state(folder: Path, state: _State) -> None:
    atomic_write_json(folder / "state.json", {"run_id": state.run_id, "offset": state.offset})
