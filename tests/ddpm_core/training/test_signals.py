"""The first signal asks, the second leaves; afterwards all is as it was."""

import signal
import subprocess
import sys
import threading

import pytest

from ddpm_core.training.signals import StopRequest, listening

SCRIPT = """
import sys
import time
from ddpm_core.training.signals import listening

with listening(echo_seconds=float(sys.argv[1])) as stop:
    print("ready", flush=True)
    while not stop():
        time.sleep(0.01)
    print("heard", stop.name, flush=True)
    while True:
        time.sleep(0.01)
"""


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM"), ("SIGTERM", "SIGINT")])
def test_the_second_signal_leaves_at_once(first: str, second: str) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, "0"], stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.Signals[first])
    assert process.stdout.readline() == f"heard {first}\n"
    process.send_signal(signal.Signals[second])
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.Signals[second]
    assert f"{first}: finishing the step and saving; send it again to exit at once" in err


def test_a_second_signal_that_follows_at_once_is_the_first_one_again() -> None:
    with listening(echo_seconds=60.0) as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop.name == "SIGINT"


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with listening() as stop:
        assert signal.getsignal(signal.SIGTERM) != before
        assert not stop()
    assert signal.getsignal(signal.SIGTERM) == before


def test_away_from_the_main_thread_nothing_is_heard_and_nothing_fails() -> None:
    heard: list[StopRequest] = []

    def work() -> None:
        with listening() as stop:
            heard.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not heard[0]()


DEAF = """
import signal
import sys
from ddpm_core.training.signals import listening

asked = 0

def may_wait():
    global asked
    asked += 1
    if asked == 1 and sys.argv[1] == "waits":
        print("asked", flush=True)
        sys.stdin.readline()
        return True
    return False

with listening(second_leaves=False, may_wait=may_wait, answer_seconds=0.1):
    signal.signal(signal.SIGTERM, lambda *_: None)  # as a main thread that hears nothing
    print("ready", flush=True)
    while True:
        signal.pause()
"""


@pytest.mark.parametrize("waits", [False, True])
def test_a_main_thread_that_hears_nothing_is_ended_unless_it_may_wait(waits: bool) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF, "waits" if waits else "works"],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    if waits:
        assert process.stdout.readline() == "asked\n"
        assert process.poll() is None
    _, err = process.communicate("go on\n", timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "SIGTERM: the process is in a call that did not end" in err


LATE = """
import os
import signal
import threading
from ddpm_core.training.signals import listening

asked, answered = threading.Event(), threading.Event()

def may_wait():
    asked.set()
    answered.wait()
    return False

with listening(may_wait=may_wait, answer_seconds=0.0) as stop:
    pipe = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(pipe)
    os.write(pipe, bytes([signal.SIGTERM]))  # the thread hears of the signal first
    asked.wait()
    signal.raise_signal(signal.SIGTERM)
    assert stop.name == "SIGTERM"
    answered.set()
print("pipe is back:", signal.set_wakeup_fd(-1) == -1)
"""


def test_a_main_thread_that_answers_is_not_ended_however_late() -> None:
    process = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout) == (0, "pipe is back: True\n"), process.stderr
