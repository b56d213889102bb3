"""What a disk refuses is one message that names the file and how to mend it, and no traceback."""

import errno
import os
import re
import sqlite3
import subprocess
import sys
from argparse import Namespace
from contextlib import closing
from pathlib import Path

import pytest

from ddpm_core.errors import TrackingError
from ddpm_core.files import atomic_folder, atomic_write_bytes
from pipelines import cli
from pipelines.runtime.disk import damaged, told, unwritable
from pipelines.tracking.tracker import open_tracker


def full(name: str) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


@pytest.mark.parametrize(
    ("number", "mended_by"),
    [(errno.ENOSPC, r"make room there \(\d+ MB are free in "), (errno.EROFS, "mount it"), (errno.EACCES, "the right")],
)
def test_refusal_names_the_file_and_how_to_mend_it(number: int, mended_by: str, tmp_path: Path) -> None:
    text = told(OSError(number, os.strerror(number), str(tmp_path / "a.bin")))
    assert text is not None
    assert text.startswith(f"{tmp_path / 'a.bin'}: must be read or written, but: {os.strerror(number)}; ")
    assert re.search(mended_by, text)


def test_state_may_lie_elsewhere_and_outputs_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_HOME", "/state")
    assert "set DDPM_HOME" in str(told(full("/state/spool/x")))
    assert "set DDPM_HOME" not in str(told(full("/project/out/x")))


def test_a_fault_of_ours_is_none_of_the_disk_s() -> None:
    assert told(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert told(OSError("no number")) is None


def test_command_line_tells_what_the_disk_refuses_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: object) -> None:
        raise full("/project/out/weights.safetensors")

    parser = cli.parser()
    monkeypatch.setattr(
        parser, "parse_args", lambda argv: Namespace(verb="doctor", action=refused, quiet=False, debug=False)
    )
    monkeypatch.setattr(cli, "parser", lambda module: parser)
    assert cli.main(["doctor"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ddpm doctor: /project/out/weights.safetensors: must be read or written, but: No space left")


def test_error_of_a_write_names_what_was_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system names no file where a write fails."""

    def refused(*words: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(OSError, match=str(tmp_path / "a.bin")):
        atomic_write_bytes(tmp_path / "a.bin", b"x")
    with pytest.raises(OSError, match=str(tmp_path / "folder")), atomic_folder(tmp_path / "folder") as folder:
        (folder / "b").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_damaged_database_is_told_from_a_whole_and_from_none(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert damaged(path) is None
    with sqlite3.connect(path) as database:
        database.execute("create table t (x)")
        database.executemany("insert into t values (?)", [("a" * 500,)] * 50)
    database.close()
    assert (damaged(path), damaged(path, whole=False), unwritable(path)) == (None, None, None)
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = bytes(4096)
    path.write_bytes(data)
    assert damaged(path) is not None
    path.write_bytes(b"words, for long enough to be no header of a database" * 100)
    assert damaged(path, whole=False) == "file is not a database"


def test_a_database_that_somebody_else_writes_just_now_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "x.db", sqlite3.connect
    with closing(connect(path)) as other:
        other.execute("begin exclusive")
        monkeypatch.setattr(sqlite3, "connect", lambda place, **_words: connect(place, timeout=0))  # do not wait
        assert unwritable(path) is None


def test_store_that_is_damaged_is_named_with_how_to_mend_it(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"words, for long enough to be no header of a database" * 100)
    with pytest.raises(TrackingError, match=rf"{file} must be an intact sqlite database.*\(mv {file} ") as caught:
        open_tracker(True, tmp_path).store()
    assert "Start it" not in str(caught.value)


def test_store_that_cannot_be_written_is_named_with_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(TrackingError, match=r"home/mlflow.db must be a file that can be read and written.*DDPM_HOME"):
        open_tracker(True, tmp_path / "home").store()


def test_work_goes_on_where_no_journal_can_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "home").touch()
    with open_tracker(True, tmp_path / "home").training_run("a" * 64, {"train.lr": 0.1}, {}) as run:
        run.log_metrics({"loss": 1.0}, 1)
        run.log_file(Path(__file__), "curves")
        run.finished("b" * 64)
    assert caplog.text.count("could not be written to") == 1
    assert "the work continues" in caplog.text


LIMITED = """
import resource, sys
from pathlib import Path
from ddpm_core.files import atomic_write_bytes
from pipelines.runtime.disk import told
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    atomic_write_bytes(Path(sys.argv[1]), bytes(20_000))
except OSError as error:
    print(told(error))
"""


def test_write_that_the_system_really_refuses(tmp_path: Path) -> None:
    words = [sys.executable, "-c", LIMITED, str(tmp_path / "weights")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'weights'}: must be read or written, but: File too large; raise the")
    assert list(tmp_path.iterdir()) == []
