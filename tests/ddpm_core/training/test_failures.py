"""The first failure of any process is every process's end."""

import logging
import threading

import pytest
from torch import distributed

from ddpm_core.errors import NonFiniteError, Stopped
from ddpm_core.training.failures import Failure, Failures, PeerLost, watching

FOREVER = 600.0


def two() -> tuple[Failures, Failures]:
    store = distributed.HashStore()  # type: ignore[attr-defined]
    return Failures(store, 0), Failures(store, 1)


def test_the_first_failure_is_the_one_that_all_hear_of() -> None:
    one, other = two()
    assert one.first() is None
    first = Failure(1, 5, "NonFiniteError: so")
    assert other.tell(NonFiniteError("so")) == first
    assert one.tell(PeerLost("gone")) == first
    assert one.first() == first


@pytest.mark.parametrize(
    ("error", "code"), [(NonFiniteError("so"), 5), (ValueError("so"), 1), (SystemExit(7), 7), (SystemExit("so"), 1)]
)
def test_a_failure_has_the_exit_code_of_its_error(error: BaseException, code: int) -> None:
    assert Failure.of(error, 3).code == code


def test_a_process_that_does_not_end_by_itself_is_ended_with_the_code_of_the_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = two()
    ended, codes = threading.Event(), list[int]()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    with watching(lambda: one, grace=0.0, look=0.001, end=end):
        assert not ended.is_set()
        other.tell(NonFiniteError("so"))
        assert ended.wait(60)
    assert codes == [5]
    assert "process 1 failed (NonFiniteError: so)" in caplog.text


def test_one_that_ends_in_time_is_left_alone() -> None:
    one, other = two()
    codes: list[int] = []
    with watching(lambda: one, grace=FOREVER, look=0.001, end=codes.append):
        other.tell(NonFiniteError("so"))
    assert codes == []


class Looks:
    """Counts the looks of a thread, and lets a test wait for them."""

    process = 0

    def __init__(self, of: Failures | None) -> None:
        self._of = of
        self.second = threading.Event()
        self._count = 0

    def first(self) -> Failure | None:
        self._count += 1
        if self._count > 1:
            self.second.set()
        if self._of is None:
            self.second.set()
            raise RuntimeError("the store is gone")
        return self._of.first()


@pytest.mark.parametrize("gone", [False, True])
def test_a_stop_or_a_store_that_is_gone_ends_nobody(gone: bool, caplog: pytest.LogCaptureFixture) -> None:
    one, other = two()
    other.tell(Stopped("by a signal"))
    looks, codes = Looks(None if gone else one), list[int]()
    with caplog.at_level(logging.ERROR), watching(lambda: looks, grace=0.0, look=0.001, end=codes.append):  # type: ignore[arg-type, return-value]
        assert looks.second.wait(60)
    assert codes == []
    assert caplog.text == ""
