"""The journal: what is logged is kept until a store has it, whatever happens in between."""

import fcntl
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from pipelines.runtime.locks import locked
from pipelines.tracking.journal import Journal, RunGone, StoreDown, ship, ship_left_behind, waiting

HEADER = {"event": "open", "by": "key", "value": "k", "tags": {}, "time": 1}


class Memory:
    """A store that keeps what it is sent, and can be told to fail."""

    def __init__(self) -> None:
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.failures: list[Exception] = []
        self.has_it = False

    def open_run(self, header: dict[str, Any]) -> str | None:
        if self.has_it:
            return None
        name = f"run-{len(self.runs)}"
        self.runs[name] = []
        return name

    def send(self, run_id: str, events: list[dict[str, Any]]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.runs[run_id] += events


def metric(step: int) -> dict[str, Any]:
    return {"event": "metrics", "step": step, "time": 5, "values": {"loss": 0.5}}


END = {"event": "end", "status": "FINISHED", "time": 9}


def test_records_reach_the_store_in_order_and_the_journal_goes(tmp_path: Path) -> None:
    journal, store = Journal(tmp_path, HEADER), Memory()
    for step in range(2000):
        journal.append(metric(step))
    assert ship(journal.folder, store) is False
    journal.append(END)
    assert ship(journal.folder, store) is True
    assert [event.get("step") for event in store.runs["run-0"]] == [*range(2000), None]
    assert waiting(tmp_path) == []


def test_a_failure_on_the_way_loses_nothing_and_repeats_nothing_that_was_taken(tmp_path: Path) -> None:
    journal, store = Journal(tmp_path, HEADER), Memory()
    journal.append(metric(1))
    assert ship(journal.folder, store) is False
    journal.append(metric(2))
    store.failures = [StoreDown("away")]
    with pytest.raises(StoreDown):
        ship(journal.folder, store)
    journal.append(END)
    assert ship(journal.folder, store) is True
    assert [event.get("step") for event in store.runs["run-0"]] == [1, 2, None]


def test_a_torn_last_line_waits_and_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    journal, store = Journal(tmp_path, HEADER), Memory()
    events = journal.folder / "events.jsonl"
    with events.open("a") as file:
        file.write("{ damaged }\n" + json.dumps(metric(3)) + "\n" + '{"event": "metr')
    assert ship(journal.folder, store) is False
    assert [event["step"] for event in store.runs["run-0"]] == [3]
    with events.open("a") as file:
        file.write('ics", "step": 4}\n')
    ship(journal.folder, store)
    assert [event["step"] for event in store.runs["run-0"]] == [3, 4]


def test_a_run_that_is_gone_from_the_store_is_written_whole_into_a_new_one(tmp_path: Path) -> None:
    journal, store = Journal(tmp_path, HEADER), Memory()
    journal.append(metric(1))
    ship(journal.folder, store)
    journal.append(metric(2))
    store.failures = [RunGone("no such run")]
    ship(journal.folder, store)
    assert [event["step"] for event in store.runs["run-1"]] == [1, 2]


def test_a_store_that_has_it_all_is_sent_nothing(tmp_path: Path) -> None:
    journal, store = Journal(tmp_path, HEADER), Memory()
    journal.append(END)
    store.has_it = True
    assert ship(journal.folder, store) is True
    assert store.runs == {}
    assert waiting(tmp_path) == []


def test_a_file_is_kept_as_it_was_when_logged(tmp_path: Path) -> None:
    journal, store = Journal(tmp_path / "spool", HEADER), Memory()
    picture = tmp_path / "grid.png"
    picture.write_bytes(b"first")
    journal.keep(picture, "samples")
    picture.write_bytes(b"second")
    ship(journal.folder, store)
    (event,) = store.runs["run-0"]
    assert event["folder"] == "samples"
    assert Path(event["path"]).read_bytes() == b"first"


def test_logging_a_file_that_is_not_there_raises_nothing_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "spool", HEADER)
    journal.keep(tmp_path / "none.png", "samples")
    journal.append({"event": "tags", "values": object()})
    assert "could not be written" in caplog.text
    assert caplog.text.count("could not") == 1


def _write_and_die(spool: Path) -> None:
    journal = Journal(spool, HEADER)
    journal.append(metric(7))


def test_the_journal_of_a_dead_process_is_sent_and_its_run_ended_as_killed(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_write_and_die, args=(tmp_path,))
    process.start()
    process.join()
    live = Journal(tmp_path, HEADER)
    live.append(metric(8))
    store = Memory()
    assert ship_left_behind(tmp_path, store) == 1
    assert [event.get("step", event.get("status")) for event in store.runs["run-0"]] == [7, "KILLED"]
    assert waiting(tmp_path) == [live.folder]


def test_nobody_else_gets_a_lock_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locked(path), path.open() as other:
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, kind | fcntl.LOCK_NB)


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "deep" / "x.lock"):
            pass
