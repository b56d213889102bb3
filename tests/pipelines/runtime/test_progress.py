"""Where there is no terminal a line says every 30 seconds how far the work is; on a terminal there is a bar."""

import io
import logging
from functools import partial

import pytest
from tqdm import tqdm

from pipelines.runtime import progress
from pipelines.runtime.progress import Progress, duration, tracked


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Stream(io.StringIO):
    """A stderr that is, or is not, a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "_now", made)
    monkeypatch.setattr("sys.stderr", Stream(terminal=False))
    caplog.set_level(logging.INFO, "pipelines")
    return made


def test_without_a_terminal_a_line_comes_every_thirty_seconds_and_no_sooner(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number, _ in enumerate(tracked(range(1000), "prepare", "pictures", total=1000)):
        clock.seconds = number * 0.1  # 10 a second; the last is taken at 99.9 s
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0] == "prepare: 301 of 1,000 pictures (30%), 10 a second, about 1 min left"


def test_what_was_done_before_counts_to_the_share_and_not_to_the_pace(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with Progress(1000, "train", "steps", done=900) as bar:
        bar.note("loss 0.1234")
        clock.seconds = 40.0
        bar.update(20)
    assert caplog.messages == ["train: 920 of 1,000 steps (92%), 2 s each, about 3 min left, loss 0.1234"]
    assert bar.done == 920


def test_quiet_work_says_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with Progress(10, "sample", "steps", quiet=True) as bar:
        clock.seconds = 100.0
        bar.update(5)
    assert caplog.messages == []
    assert bar.done == 5


def test_on_a_terminal_there_is_a_bar_and_no_line(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Stream(terminal=True)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("tqdm.tqdm", partial(tqdm, disable=False))  # the tests' environment turns bars off
    with Progress(10, "sample", "steps") as bar:
        clock.seconds = 100.0
        bar.update(10)
    assert caplog.messages == []
    assert "sample" in screen.getvalue()
    assert "10/10" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59.4, "59 s"), (61, "1 min"), (3540, "59 min"), (7800, "2 h 10 min")]
)
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
