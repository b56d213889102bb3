"""A map that outlives its workers."""

import operator
import os
from functools import partial

from pipelines.tools.isolated import Died, map_isolated


def test_results_come_in_order_whatever_the_number_of_workers() -> None:
    assert list(map_isolated(abs, range(-40, 0), workers=2)) == list(range(40, 0, -1))


def test_only_the_item_that_kills_its_worker_is_lost() -> None:
    work = [partial(int, number) for number in range(20)]
    work[7] = partial(os._exit, 9)
    work[18] = partial(os._exit, 9)
    expected = [Died() if number in (7, 18) else number for number in range(20)]
    assert list(map_isolated(operator.call, work, workers=1)) == expected


def test_nothing_to_do_is_done() -> None:
    assert list(map_isolated(abs, [], workers=1)) == []
