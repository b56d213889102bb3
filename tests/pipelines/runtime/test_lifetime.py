"""Processes end with the one that started them, hear its signals, and are told apart from others with their number."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipelines.runtime import lifetime
from pipelines.runtime.lifetime import (
    GUARD,
    OWNER,
    Process,
    ancestors,
    descendants,
    guarded,
    having,
    owner,
)
from pipelines.runtime.signals import Terminated, ending_on_sigterm, in_a_thread, passing_on

PATIENCE = 30  # seconds for a process to start or end on a busy machine
WAITS = "import signal\nsignal.pause()\n"
# Starts a child by the code of its second argument, says its number, and waits.
STARTS = """
import signal, subprocess, sys
from pipelines.runtime.lifetime import own_children
own_children()
child = subprocess.Popen([*{words}, sys.argv[1]], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
signal.pause()
"""
OWNED = """
import signal
from pipelines.runtime.lifetime import end_with_owner
end_with_owner()
print("ready", flush=True)
signal.pause()
"""


@contextmanager
def script(code: str, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def gone(process: Process) -> bool:
    """Whether it ends in time."""
    thread = threading.Thread(target=process.wait, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not process.lives()


@pytest.mark.parametrize(
    "words", ["[sys.executable, '-c']", "['sh', '-c', 'exec 3>&1; \"$0\" -c \"$1\"; exit $?', sys.executable]"]
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_owner_however_that_one_ends(words: str, number: signal.Signals) -> None:
    """The second child is a grandchild: a shell stands between, as DVC has one, and outlives the owner."""
    with script(STARTS.format(words=words), OWNED) as parent:
        child = Process.of(int(line_of(parent).split()[0]))
        below = [Process.of(pid) for pid in descendants(parent.pid)]
        assert child in below
        parent.send_signal(number)
        assert all(gone(process) for process in below)


def test_a_process_whose_owner_has_ended_already_ends_at_once() -> None:
    with script(WAITS) as other:
        past = str(Process.of(other.pid))
    with script(OWNED, **{OWNER: past}) as late:
        assert late.wait(PATIENCE) == -signal.SIGTERM


LATE = """
import os, signal, time
from pipelines.runtime.lifetime import {guard}
parent = os.getppid()
print(os.getpid(), flush=True)
while os.getppid() == parent:
    time.sleep(0.01)
{guard}()
signal.pause()
"""


@pytest.mark.parametrize("guard", ["end_with_owner", "end_with_parent"])
def test_a_process_whose_parent_ended_before_it_looked_ends_at_once(guard: str) -> None:
    """A parent that is killed while its child still imports: another process, as init, has become the parent."""
    environment = {**os.environ, "DVC_STAGE": "train"}
    environment.pop(OWNER, None)
    starts = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    command = [sys.executable, "-c", starts, LATE.format(guard=guard)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as parent:
        child = Process.of(int(line_of(parent)))
        parent.kill()
        ended = gone(child)
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
    assert ended


DEAF = """
import signal
from pipelines.runtime.lifetime import Process, end_with
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end_with(Process(1, "of another beginning"), grace=0.01)
while True:
    signal.pause()
"""


def test_a_process_that_hears_no_signal_is_killed_after_a_grace() -> None:
    with script(DEAF) as late:
        assert late.wait(PATIENCE) == -signal.SIGKILL


def test_a_process_that_has_ended_lives_no_more_though_nobody_has_asked_for_its_end() -> None:
    with script(WAITS) as child:
        process = Process.of(child.pid)
        assert process.lives()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.lives()


def test_another_process_with_the_same_number_is_not_the_owner() -> None:
    me = Process.of(os.getpid())
    assert me.lives()
    assert not Process(me.pid, me.began + "0").lives()
    assert Process.parsed(str(me)) == me
    assert Process.parsed("") is None


def test_a_stage_that_dvc_started_belongs_to_the_nearest_ancestor_that_is_no_shell() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from pipelines.runtime.lifetime import owner; print(owner().pid)"
    )
    command = ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, code]
    environment = {**os.environ, "DVC_STAGE": "train"}
    environment.pop(OWNER, None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) == os.getpid()


def test_a_process_that_a_user_started_has_no_owner() -> None:
    assert owner({}) is None
    assert owner({OWNER: str(Process.of(os.getpid()))}) is None
    assert owner({OWNER: "1.0"}) == Process(1, "0")


def test_the_family_of_a_process() -> None:
    with script(WAITS) as child:
        assert child.pid in descendants(os.getpid())
        assert ancestors(child.pid)[:2] == [child.pid, os.getpid()]
    nested = ["sh", "-c", "exec 3<&0; cat <&3 & echo $!; wait"]  # cat ends when its input does
    with subprocess.Popen(nested, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        cat = int(line_of(shell))
        assert {shell.pid, cat} <= set(descendants(os.getpid()))
        assert ancestors(cat)[:3] == [cat, shell.pid, os.getpid()]


def test_sigterm_clears_up_and_a_second_one_leaves_at_once() -> None:
    cleared = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleared.append(signal.getsignal(signal.SIGTERM))

    with ending_on_sigterm(), pytest.raises(Terminated):
        work()
    assert cleared == [signal.SIG_DFL]


SWALLOWS = """
import signal
from contextlib import suppress
from pipelines.runtime.signals import ending_on_sigterm
with ending_on_sigterm(patience=0.01):
    with suppress(BaseException):
        signal.raise_signal(signal.SIGTERM)
    while True:
        signal.pause()
"""


def test_work_that_swallows_the_exception_of_sigterm_ends_all_the_same() -> None:
    with script(SWALLOWS) as deaf:
        assert deaf.wait(PATIENCE) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_to_the_children_and_the_work_goes_on_to_its_end(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with passing_on() as signals, script("print('ready', flush=True)\n" + WAITS) as child:
        assert line_of(child) == "ready\n"

        def work() -> int:
            os.kill(os.getpid(), number)
            return child.wait(PATIENCE)

        assert in_a_thread(work) == -signal.SIGTERM
        assert signals.name == number.name
    assert signal.getsignal(number) == before


TWO_SIGNALS = """
import signal
from pipelines.runtime.signals import passing_on
with passing_on({echo_seconds}):
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
print("went on")
"""


@pytest.mark.parametrize(("echo_seconds", "said", "code"), [(60, "went on\n", 0), (-1, "", 128 + signal.SIGTERM)])
def test_a_second_signal_at_once_is_the_first_again_and_a_later_one_ends_it(
    echo_seconds: int, said: str, code: int
) -> None:
    with script(TWO_SIGNALS.format(echo_seconds=echo_seconds)) as run:
        assert run.communicate(timeout=PATIENCE)[0] == said
        assert run.returncode == code


def test_an_error_in_the_thread_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        in_a_thread(lambda: 1 // 0)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="other programs are found by /proc")
def test_programs_of_others_end_where_the_guard_ends() -> None:
    with guarded():
        mark = os.environ[GUARD]
        with script("print('ready', flush=True)\n" + WAITS) as other:
            assert line_of(other) == "ready\n"
            assert other.pid in having(GUARD, mark)
            lifetime.end_guarded(mark, spared=0)
            assert other.wait(PATIENCE) == -signal.SIGTERM
    assert GUARD not in os.environ


GUARDED = """
import signal, subprocess, sys
from pipelines.runtime.lifetime import guarded
with guarded():
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True)
    print(child.pid, flush=True)
    signal.pause()
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="other programs are found by /proc")
def test_programs_of_others_end_where_the_one_that_started_them_is_killed() -> None:
    with script(GUARDED, WAITS) as parent:
        child = Process.of(int(line_of(parent)))
        (guard,) = (Process.of(pid) for pid in descendants(parent.pid) if pid != child.pid)
        parent.kill()
        assert gone(child)
        assert gone(guard)


def test_a_quick_end_reports_no_leaks_of_libraries_and_keeps_what_was_said_and_the_exit_code() -> None:
    pytest.importorskip("triton._C.libtriton")
    code = "import sys\nfrom pipelines.runtime.lifetime import end_quickly\nend_quickly()\n"
    code += "import triton._C.libtriton\nsys.stderr.write('the last words')\nsys.exit(3)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "the last words")
