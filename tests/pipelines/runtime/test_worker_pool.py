"""A map over processes that survives the death of any of them."""

import multiprocessing
import operator
import os
from contextlib import closing
from functools import partial

import pytest

from pipelines.runtime.worker_pool import Died, map_in_workers, plain


def test_results_come_in_order_whatever_the_number_of_workers() -> None:
    assert list(map_in_workers([plain(abs)] * 2, range(-40, 0), chunk=3)) == list(range(40, 0, -1))


def test_only_the_item_that_kills_its_worker_is_lost() -> None:
    work = [partial(int, number) for number in range(20)]
    work[7] = partial(os._exit, 9)
    work[18] = partial(os._exit, 8)
    deaths = {7: Died(9), 18: Died(8)}
    expected = [deaths.get(number, number) for number in range(20)]
    assert list(map_in_workers([plain(operator.call)], work, chunk=16)) == expected


def test_nothing_to_do_starts_no_process() -> None:
    assert list(map_in_workers([plain(abs)], [])) == []


def test_a_worker_that_dies_between_two_items_costs_none_and_all_end_with_the_iterator() -> None:
    with closing(map_in_workers([plain(abs)], [-1, -2, -3])) as results:
        assert next(results) == 1
        (process,) = multiprocessing.active_children()
        process.kill()
        process.join()
        assert next(results) == 2
    assert multiprocessing.active_children() == []


def test_an_exception_of_a_worker_is_raised_here_and_says_where_it_was_raised() -> None:
    with pytest.raises(ValueError, match="three") as caught:
        list(map_in_workers([plain(int)], ["1", "three"]))
    assert "worker_pool.py" in caught.value.__notes__[0]
