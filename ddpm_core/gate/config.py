"""The limits of the gate."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from ddpm_core.checks import Checks, Config, at_least_1, fraction, not_negative, open_fraction, positive
from ddpm_core.errors import DataError, ParamsError


@dataclass(frozen=True)
class Limit(Config):
    """An absolute limit on one metric, both ends included; null leaves an end open."""

    metric: str
    min: float | None
    max: float | None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ParamsError(f"gate.absolute: the limit on {self.metric!r} must have a min or a max, got neither")


@dataclass(frozen=True)
class GateConfig(Config):
    """The limits that every kind of data has; a kind adds those of its own metrics. `absolute` is opt-in."""

    model_name: str | None
    min_samples: int
    max_golden_difference: float
    max_unseen_controls: int
    max_champion_loss: float
    absolute: tuple[Limit, ...]

    __checks__: ClassVar[Checks] = {
        "model_name": (
            lambda v: v is None or (bool(v) and not set(v) & set("/:") and v == v.strip()),
            "null (by the data) or a name without `/`, `:` or outer spaces",
        ),
        "min_samples": at_least_1,
        "max_golden_difference": not_negative,
        "max_unseen_controls": not_negative,
        "max_champion_loss": not_negative,
    }


@dataclass(frozen=True)
class LikenessGate(GateConfig):
    """The limits for samples that must look like real data. `max_energy` and `max_lost` mean the same on all data."""

    max_energy: float
    max_lost: float
    max_distance_ratio: float | None
    max_accuracy_loss: float | None
    max_copy_excess: float
    copy_significance: float
    max_broken_excess: float

    __checks__: ClassVar[Checks] = {
        **GateConfig.__checks__,
        "max_energy": positive,
        "max_lost": fraction,
        "max_distance_ratio": (
            lambda v: v is None or v >= 1,
            "null (no such rule) or at least 1 (1 = as near as unseen real data)",
        ),
        "max_accuracy_loss": (lambda v: v is None or 0 <= v <= 1, "null (no such rule) or between 0 and 1"),
        "max_copy_excess": fraction,
        "copy_significance": open_fraction,
        "max_broken_excess": fraction,
    }


@dataclass(frozen=True)
class PictureGate(LikenessGate):
    """The limits for pictures."""

    max_rough: float

    __checks__: ClassVar[Checks] = {**LikenessGate.__checks__, "max_rough": fraction}


@dataclass(frozen=True)
class SeriesGate(GateConfig):
    """The limits for forecasts and for values filled in."""

    min_skill: float
    max_coverage_error: float
    max_dispersion_error: float | None
    max_broken: float

    __checks__: ClassVar[Checks] = {
        **GateConfig.__checks__,
        "min_skill": (lambda v: -1 <= v < 1, "between -1 and 1, the latter excluded"),
        "max_coverage_error": fraction,
        "max_dispersion_error": (lambda v: v is None or v >= 0, "null (no such rule) or 0 or more"),
        "max_broken": fraction,
    }


def limit_of(gate: GateConfig, key: str) -> float | None:
    """A limit by its key in section gate; None if it is switched off."""
    limit = asdict(gate).get(key, key)
    if not isinstance(limit, int | float | None):
        raise DataError(f"record.json: a rule's limit must be a number of section gate, got {key!r}")
    return limit
