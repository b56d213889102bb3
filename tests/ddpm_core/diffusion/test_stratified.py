"""Levels drawn for a sum over all: runs that cover every level once, and an estimate without bias."""

import numpy as np
import pytest

from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.diffusion.stratified import drawn_levels, runs
from ddpm_core.errors import ParamsError


@pytest.mark.parametrize("T", [1, 2, 3, 10, 1000, 4000])
def test_runs_cover_every_level_once_and_the_first_alone(T):
    for count in {c for c in (1, 2, 3, 7, 50, 100, T - 1, T) if min(2, T) <= c <= T}:
        edges = runs(T, count)
        assert (len(edges), edges[0], edges[-1]) == (count + 1, 1, T + 1)
        widths = np.diff(edges)
        assert widths.min() >= 1
        assert widths[0] == 1


def test_all_levels_stand_for_themselves():
    drawn = drawn_levels(30, 30, generator(0, Purpose.EVALUATE))
    assert drawn.levels.tolist() == list(range(1, 31))
    assert drawn.stands_for.tolist() == [1] * 30


def test_runs_are_short_where_the_terms_are_large():
    widths = np.diff(runs(1000, 100))
    assert (widths[:20] == 1).all()
    assert widths[-1] > 50
    # A geometric progression from 2 to T + 1, where its steps are longer than a level.
    assert (runs(1000, 100)[-40:] == np.rint(np.geomspace(2, 1001, 100))[-40:]).all()


def test_each_level_is_drawn_as_often_as_it_stands_for_others():
    """E[1 / P(t)-weighted count of t] = 1: the sum over the drawn levels has the sum over all as its mean."""
    T, draws = 12, 4000
    weight = np.zeros(T + 1)
    for i in range(draws):
        drawn = drawn_levels(T, 5, generator(3, Purpose.EVALUATE, 0, i))
        weight[drawn.levels] += drawn.stands_for
    np.testing.assert_allclose(weight[1:] / draws, 1.0, atol=0.15)


@pytest.mark.parametrize("count", [0, 1, 11, -1])
def test_a_number_of_levels_that_cannot_be_is_refused(count):
    with pytest.raises(ParamsError, match=f"must be `all`, or from 2 to the schedule's 10, got {count}"):
        runs(10, count)


def test_two_levels_are_not_one_run():
    with pytest.raises(ParamsError, match="from 2 to the schedule's 2, got 1"):
        runs(2, 1)
