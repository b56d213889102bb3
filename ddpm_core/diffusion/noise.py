"""Noise as a function of (seed, purpose, step, item), whatever the batch, its order or the worker.

A Philox counter of 256 bits has the words [low, low, step, item], so two steps or items never share a block.
In sampling, x_T is step 0 and row k of a plan uses step k + 1; a datum of a request is item 0 of its own seed.
"""

from collections.abc import Sequence
from enum import IntEnum
from operator import index

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import ParamsError

_TOP = 2**64


class Purpose(IntEnum):
    """What noise is drawn for; two purposes never share a number. Append, never renumber: samples depend on it."""

    SAMPLE = 0
    TRAIN_TIME = 1
    TRAIN_NOISE = 2
    LABEL_DROPOUT = 3
    DATA_ORDER = 4
    AUGMENT = 5
    SPLIT = 6
    EVALUATE = 7
    RESAMPLE = 8
    HUTCHINSON = 9
    INITIAL_WEIGHTS = 10
    ROLL_BACK = 11
    HELD_OUT = 12
    MASK = 13
    DISTIL = 14


def generator(seed: int, purpose: Purpose, step: int = 0, item: int = 0) -> np.random.Generator:
    """The generator of one (seed, purpose, step, item)."""
    key, counter = _key_and_counter(seed, purpose, step, item)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _key_and_counter(
    seed: int, purpose: Purpose, step: int, item: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    for name, value in (("seed", seed), ("step", step), ("item", item)):
        if not isinstance(value, int | np.integer) or not 0 <= value < _TOP:
            raise ParamsError(f"{name}: must be a whole number from 0 to 2^64 - 1, got {value}")
    # As uint64 arrays: numpy turns lists of large Python ints into floats.
    key = np.array([seed, int(purpose)], dtype=np.uint64)
    counter = np.array([0, 0, step, item], dtype=np.uint64)
    return key, counter


def initial(seeds: int | Sequence[int], shape: Sequence[int], items: int | Sequence[int] = 0) -> NDArray[np.float32]:
    """Unit noise for x_T, one datum for each (seed, item): [n, *shape]; times `plan.start_scale` it is x_T."""
    return step_noise(seeds, 0, shape, items)


def step_noise(
    seeds: int | Sequence[int],
    step: int | Sequence[int],
    shape: Sequence[int],
    items: int | Sequence[int] = 0,
    purpose: Purpose = Purpose.SAMPLE,
) -> NDArray[np.float32]:
    """Unit noise of a step for each (seed, step, item), [n, *shape]; one number stands for all items."""
    rows = _rows(seeds, step, items)
    out = np.empty((len(rows), *shape), dtype=np.float32)
    # One generator, set to the state that `generator` begins with: to make one takes as long as the noise of an item.
    bits = np.random.Philox(0)
    draw, state = np.random.Generator(bits), bits.state
    for i, (seed, at, item) in enumerate(rows):
        key, counter = _key_and_counter(seed, purpose, at, item)
        bits.state = {**state, "state": {"key": key, "counter": counter}}
        draw.standard_normal(out=out[i], dtype=np.float32)
    return out


def _whole(value: int) -> int:
    try:
        return index(value)
    except TypeError as error:
        raise ParamsError(f"seeds, steps and items: must be whole numbers, got {value!r}") from error


def _rows(*columns: int | Sequence[int]) -> list[tuple[int, ...]]:
    lengths = {len(column) for column in columns if not isinstance(column, int | np.integer)}
    if len(lengths) > 1:
        raise ParamsError(f"seeds, steps and items must be equally many, got {sorted(lengths)}")
    n = lengths.pop() if lengths else 1
    spread = [[_whole(c)] * n if isinstance(c, int | np.integer) else [_whole(v) for v in c] for c in columns]
    return list(zip(*spread, strict=True))
