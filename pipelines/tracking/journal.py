"""A run's records, written to a local file first: logging never waits for a server, and nothing is lost without one.

A journal is a folder: `events.jsonl` (the first line names the run of the others), `files/` (copies of logged files)
and `state.json` (how much the store has). Its writer has it locked; the next process takes over the journal of a dead
one. Records have their times, so a record that is sent twice is the same record.
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
    """The store does not accept records now; they stay in the journal and are sent later. `mend` says what helps."""

    def __init__(self, text: str, mend: str = "Start it, or set MLFLOW_TRACKING_URI to a running one.") -> None:
        super().__init__(text)
        self.mend = mend


class StoreAway(StoreDown):
    """No answer, or not in time: a temporary failure."""


class RunGone(StoreDown):
    """The store answers, but the run of the records does not exist (any more)."""


class Sink(Protocol):
    """The destination of records."""

    def open_run(self, header: Event) -> str | None:
        """The id of the run that the header describes, created if needed; None if the store has all of it already."""

    def send(self, run_id: str, events: list[Event]) -> None:
        """Store the records, or raise StoreDown. Records that are stored already change nothing."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """An open journal. Only the disk can make `append` wait, and it never raises.

    If the disk refuses a new journal, `fault` says why, and its records are lost.
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
        """Copy a file or a folder into the journal, so that the original may change or be removed."""
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
            _log.warning("A record of the run could not be written to %s (%s); the work continues.", self.folder, error)
            self._said = True


@dataclass(frozen=True)
class _State:
    run_id: str
    offset: int


def waiting(spool: Path) -> list[Path]:
    """The journals that have unsent records, oldest first."""
    if not spool.is_dir():
        return []
    return sorted(
        path for path in spool.iterdir() if not path.name.startswith(".") and (path / "events.jsonl").exists()
    )


def ship(folder: Path, sink: Sink) -> bool:
    """Send the unsent records of a journal; True, and the journal is removed, when it is complete."""
    try:
        return _ship(folder, sink)
    except RunGone:  # another store than before, or the run was deleted: send all again, into a new run
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
    """Send the journals of ended processes, oldest first and up to `own`; returns the number sent."""
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
        _log.info("Sent %d waiting journal%s to the tracking store.", sent, "s" * (sent > 1))
    return sent


@contextmanager
def _taken_over(folder: Path) -> Iterator[bool]:
    """Lock a journal whose writer has ended; False if another process writes or sends it."""
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
    """The writer was killed: mark its run as killed; it is continued if the same work starts again."""
    state = _read_state(folder)
    if state is not None:
        sink.send(state.run_id, [{"event": "end", "status": "KILLED", "time": now_ms()}])
    shutil.rmtree(folder)


def _header(folder: Path) -> Event | None:
    with (folder / "events.jsonl").open("rb") as file:
        line = file.readline()
    return _parsed(line) if line.endswith(b"\n") else None


def _chunks(folder: Path, offset: int) -> Iterator[tuple[list[Event], int]]:
    """Complete lines after `offset`, some hundreds at a time, with the offset after them; leaves an incomplete one."""
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
        _log.warning("A damaged record in a tracking journal was skipped.")
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
