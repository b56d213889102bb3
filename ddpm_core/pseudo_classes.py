"""Classes that the pipeline made for data without labels: the network is told them, and nobody can ask for one.

`DataSpec.about` says how often each comes. A sample that is told no class gets one by these shares, as a function of
its seed, so that guidance works without labels and the samples come out as mixed as the data.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.spec import LABEL, Condition, DataSpec

SHARES = "pseudo_class_shares"
_STEP = 2**64 - 1  # of no plan, so that a sample's class shares no number with its noise


def with_pseudo_classes(spec: DataSpec, counts: Sequence[int]) -> DataSpec:
    """Data without labels whose condition `label` is one of so many pseudo-classes, each of which so many data have."""
    names = [f"cluster {number}" for number in range(1, len(counts) + 1)]
    shares = [count / sum(counts) for count in counts]
    conditions = {**spec.conditions, LABEL: Condition.of_classes(names)}
    return replace(spec, conditions=conditions, about={**spec.about, SHARES: shares})


def has_pseudo_classes(spec: DataSpec) -> bool:
    """Whether the label that these data have, or the network is told, is a pseudo-class."""
    return SHARES in spec.about and LABEL in spec.conditions


def classes_to_ask_for(spec: DataSpec) -> tuple[str, ...]:
    """The names of the classes that a person knows; pseudo-classes are none."""
    return () if has_pseudo_classes(spec) else spec.classes


def drawn(spec: DataSpec, labels: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.int64]:
    """The labels with a pseudo-class in place of each "not told", drawn by the seed of its sample."""
    ends = np.cumsum(spec.about[SHARES])
    found = labels.copy()
    for place in map(int, np.flatnonzero(labels == len(spec.classes))):
        point = generator(int(seeds[place]), Purpose.SAMPLE, _STEP).random() * ends[-1]
        found[place] = min(int(np.searchsorted(ends, point, side="right")), len(ends) - 1)
    return found
