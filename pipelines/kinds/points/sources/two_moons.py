"""Two half circles that interlock, with noise: points to try everything with."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ddpm_core.checks import Checks, Config, not_negative
from pipelines.kinds.facts import SourceFacts
from pipelines.kinds.points.sources.found import PointListing, accepted

_CLASSES = ("lower", "upper")


@dataclass(frozen=True)
class TwoMoons(Config):
    """Half of the points on the upper moon, half on the lower. `path` names this file, from which they are made."""

    kind: Literal["two_moons"]
    path: str
    points: int
    noise: float
    seed: int

    __checks__: ClassVar[Checks] = {
        "points": (lambda v: v >= 4, "at least 4"),
        "noise": not_negative,
        "seed": not_negative,
    }

    def facts(self) -> SourceFacts:
        return SourceFacts(
            model_name="ddpm-two-moons",
            title="Two moons by diffusion",
            intended_use="Learning and trying; the points are made by a formula.",
            data_licence="None needed: the points are made by a formula.",
            limits="It knows two half circles in the plane, and nothing else.",
        )

    def listing(self, root: Path) -> PointListing:
        rng = np.random.Generator(np.random.Philox(key=[self.seed, self.points]))
        upper = np.arange(self.points) % 2 == 1
        angle = np.pi * rng.random(self.points)
        x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) + self.noise * rng.standard_normal(self.points)
        y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) + self.noise * rng.standard_normal(self.points)
        names = [_CLASSES[int(each)] for each in upper]
        # Six decimals: what another machine's cosine may differ in lies far behind them.
        values = zip(x.round(6).tolist(), y.round(6).tolist(), names, strict=True)
        return PointListing([accepted(f"point {nth}", *value) for nth, value in enumerate(values)], _CLASSES)
