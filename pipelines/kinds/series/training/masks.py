"""Which values of a training window are told and which are asked for: a function of (seed, step, place in the batch).

A window's mask is drawn by its own generator, so it is the same whatever the batch's size and whichever process draws
it. Only `pattern` looks at the other windows of the batch.
"""

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ddpm_core.checks import Checks, Config, at_least_1, fraction
from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.errors import ParamsError
from ddpm_core.models.told import ASKED, GIVEN, OBSERVED, TOLD, UNKNOWN
from ddpm_core.spec import DataSpec
from pipelines.shards.archive import PRESENT, Arrays

Mask = NDArray[np.bool_]

HELD_OUT = 2**64 - 1
"""The step whose masks data held out from training have; no training reaches it."""


@dataclass(frozen=True)
class RandomMask(Config):
    """Single values. Of those that a window has, a share from `least` to `most` is hidden, every share as likely."""

    share: float
    least: float
    most: float
    __checks__: ClassVar[Checks] = {"share": fraction, "least": fraction, "most": fraction}

    def faults(self) -> list[str]:
        return _rising(self.least, self.most)


@dataclass(frozen=True)
class StepsMask(Config):
    """`least` to `most` time steps in a row."""

    share: float
    least: int
    most: int
    __checks__: ClassVar[Checks] = {"share": fraction, "least": at_least_1, "most": at_least_1}

    def faults(self) -> list[str]:
        return _rising(self.least, self.most)


@dataclass(frozen=True)
class BlockMask(StepsMask):
    """`least` to `most` time steps in a row, at any place, of some columns: any number of them, as in an outage."""


@dataclass(frozen=True)
class ForecastMask(StepsMask):
    """The last `least` to `most` time steps, of every column."""


@dataclass(frozen=True)
class PatternMask(Config):
    """What another window of the batch lacks."""

    share: float
    __checks__: ClassVar[Checks] = {"share": fraction}


@dataclass(frozen=True)
class MaskConfig(Config):
    """The share of the windows of each strategy; the shares add up to 1.

    A window from which its strategy would take nothing gets a random mask.
    """

    random: RandomMask
    block: BlockMask
    forecast: ForecastMask
    pattern: PatternMask

    def faults(self) -> list[str]:
        total = sum(self.shares)
        return [] if abs(total - 1) < 1e-9 else [f"the shares must add up to 1, got {total:g}"]

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(getattr(self, field.name).share for field in fields(self))

    def check(self, spec: DataSpec, where: str = "train.augment.masks") -> None:
        """Refuse more time steps than a window has; of a forecast one is left to be told."""
        steps = spec.shape[1]
        for name, part, most in (("block", self.block, steps), ("forecast", self.forecast, steps - 1)):
            if part.share and part.most > most:
                raise ParamsError(
                    f"{where}.{name}.most: must be at most {most} for windows of {steps} time steps, got {part.most}"
                )


def told_of(config: MaskConfig, present: Mask, seed: int, step: int, rows: slice = slice(None)) -> Mask:
    """What is told of the windows `rows` of a batch, of which these values are present: all but the hidden ones.

    [B, K, W] -> [rows, K, W]
    """
    places = range(len(present))[rows]
    told = [_told(config, present, place, generator(seed, Purpose.MASK, step, place)) for place in places]
    return np.stack(told) if told else present[rows]


def masked(config: MaskConfig, arrays: Arrays, seed: int, step: int, rows: slice = slice(None)) -> Arrays:
    """The windows `rows` of a batch with some values hidden: what is told, and as `present` what is asked for."""
    whole = arrays[PRESENT].astype(bool)
    told = told_of(config, whole, seed, step, rows)
    present = whole[rows]
    return {name: values[rows] for name, values in arrays.items()} | {
        OBSERVED: np.where(told, arrays[OBSERVED][rows], np.float32(0)),
        TOLD: np.where(told, GIVEN, np.where(present, ASKED, UNKNOWN)).astype(np.float32),
        PRESENT: (present & ~told).astype(arrays[PRESENT].dtype),
    }


def _told(config: MaskConfig, batch: Mask, place: int, random: np.random.Generator) -> Mask:
    present = batch[place]
    strategy = np.searchsorted(np.cumsum(config.shares), random.random(), side="right")
    if strategy == 1:
        hidden = _block(config.block, present.shape, random)
    elif strategy == 2:
        hidden = _last(config.forecast, present.shape, random)
    elif strategy == 3:
        hidden = ~batch[(place + 1 + random.integers(max(1, len(batch) - 1))) % len(batch)]
    else:
        hidden = np.zeros_like(present)
    if not (present & hidden).any():
        hidden = _single(config.random, present, random)
    told: Mask = present & ~hidden
    return told


def _single(config: RandomMask, present: Mask, random: np.random.Generator) -> Mask:
    there = np.flatnonzero(present)
    number = round(len(there) * random.uniform(config.least, config.most))
    hidden = np.zeros(present.size, dtype=bool)
    hidden[random.permutation(there)[:number]] = True
    return hidden.reshape(present.shape)


def _block(config: BlockMask, shape: tuple[int, ...], random: np.random.Generator) -> Mask:
    columns, steps = shape
    length = int(random.integers(config.least, config.most + 1))
    start = int(random.integers(steps - length + 1))
    chosen = random.permutation(columns)[: random.integers(1, columns + 1)]
    hidden = np.zeros(shape, dtype=bool)
    hidden[chosen, start : start + length] = True
    return hidden


def _last(config: ForecastMask, shape: tuple[int, ...], random: np.random.Generator) -> Mask:
    hidden = np.zeros(shape, dtype=bool)
    hidden[:, shape[1] - int(random.integers(config.least, config.most + 1)) :] = True
    return hidden


def _rising(least: float, most: float) -> list[str]:
    return [] if least <= most else [f"most must be at least as much as least, got least={least}, most={most}"]
