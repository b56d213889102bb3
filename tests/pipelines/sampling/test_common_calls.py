"""Threads that ask a network at the same time share its calls, and each gets the answer to what it asked."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from pipelines.sampling.common_calls import CommonCalls
from pipelines.sampling.onnx_denoiser import in_few_shapes

CALLERS = 4


class Net:
    """x + 10 t + 100 label, and the sizes of its calls."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, x: Any, t: Any, cond: Mapping[str, Any]) -> Any:
        self.sizes.append(len(x))
        return x + 10 * t[:, None] + 100 * cond["label"][:, None]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CALLERS) as made:
        yield made


def asked(number: int) -> tuple[Any, Any, dict[str, Any]]:
    """What a thread asks: as many data as its number says, of values, times and labels that no other has."""
    n = number + 1
    x = np.full((n, 3), number / 8, np.float32) + np.arange(n, dtype=np.float32)[:, None] / 64
    return x, np.full(n, number, np.float32), {"label": np.arange(n) + 5 * number}


def all_at_once(pool: ThreadPoolExecutor, net: Callable[..., Any]) -> list[Any]:
    return list(pool.map(lambda number: net(*asked(number)), range(CALLERS)))


def never() -> float:
    """A clock that stands still: nobody stops waiting for the others."""
    return 0.0


def test_one_call_answers_all_and_each_gets_its_own(pool: ThreadPoolExecutor) -> None:
    net = Net()
    found = all_at_once(pool, CommonCalls(net, lambda: CALLERS, clock=never))
    assert net.sizes == [1 + 2 + 3 + 4]
    for number, answer in enumerate(found):
        np.testing.assert_array_equal(answer, Net()(*asked(number)))


def test_a_call_holds_at_most_so_many_data(pool: ThreadPoolExecutor) -> None:
    net = Net()
    turns = iter([CALLERS] * 100)
    found = all_at_once(pool, CommonCalls(net, lambda: next(turns) if not net.sizes else 0, most=4, clock=never))
    assert sum(net.sizes) == 10
    assert max(net.sizes) == 4
    for number, answer in enumerate(found):
        np.testing.assert_array_equal(answer, Net()(*asked(number)))


@pytest.mark.parametrize("most", [2, 4])
def test_who_fills_a_call_or_more_waits_for_nobody(most: int) -> None:
    net = Net()
    CommonCalls(net, lambda: CALLERS, most=most, clock=never)(*asked(3))
    assert net.sizes == [4]


def test_who_samples_alone_waits_for_nobody() -> None:
    net = Net()
    np.testing.assert_array_equal(CommonCalls(net, lambda: 1, clock=never)(*asked(2)), Net()(*asked(2)))


def test_others_who_do_not_come_are_not_waited_for() -> None:
    net = Net()
    times = iter(np.arange(100) / 1000)
    CommonCalls(net, lambda: CALLERS, clock=lambda: float(next(times)))(*asked(2))
    assert net.sizes == [3]


def test_an_error_reaches_everyone_and_the_next_call_goes_on(pool: ThreadPoolExecutor) -> None:
    net, broken = Net(), [True]

    def fails_once(*words: Any) -> Any:
        if broken:
            broken.clear()
            raise RuntimeError("out of memory")
        return net(*words)

    common = CommonCalls(fails_once, lambda: CALLERS, clock=never)

    def message(number: int) -> str:
        with pytest.raises(RuntimeError) as caught:
            common(*asked(number))
        return str(caught.value)

    assert list(pool.map(message, range(CALLERS))) == ["out of memory"] * CALLERS
    assert len(all_at_once(pool, common)) == CALLERS
    assert net.sizes == [10]


@pytest.mark.parametrize(("n", "size"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (33, 64)])
def test_sizes_of_calls_are_few(n: int, size: int) -> None:
    net = Net()
    x, t, cond = np.arange(3 * n, dtype=np.float32).reshape(n, 3), np.zeros(n, np.float32), {"label": np.arange(n)}
    np.testing.assert_array_equal(in_few_shapes(net)(x, t, cond), Net()(x, t, cond))
    assert net.sizes == [size]
