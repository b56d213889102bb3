"""A gate, the numbers and the record of a good model, and what changes them."""

from typing import Any

from ddpm_core.gate.config import PictureGate
from ddpm_core.metrics.intervals import RESAMPLING
from tests.support.described import described

GATE = PictureGate(
    model_name="digits",
    min_samples=200,
    max_energy=0.1,
    max_lost=0.2,
    max_rough=0.15,
    max_distance_ratio=None,
    max_accuracy_loss=0.02,
    max_copy_excess=0.005,
    copy_significance=0.01,
    max_broken_excess=0.005,
    max_golden_difference=0.1,
    max_unseen_controls=0,
    max_champion_loss=0.02,
    absolute=(),
)


ENDS = ("", "_low", "_high")


LIKE = {
    **{f"energy_classifier{end}": value for end, value in (("", 0.05), ("_low", 0.04), ("_high", 0.06))},
    **{f"lost_classifier{end}": value for end, value in (("", 0.01), ("_low", 0.0), ("_high", 0.02))},
    **{f"rough_share{end}": value for end, value in (("", 0.03), ("_low", 0.02), ("_high", 0.04), ("_heldout", 0.02))},
    **{f"{kind}_share{end}": 0.0 for kind in ("constant", "duplicate") for end in ("", "_heldout")},
}


GOOD = {
    "n": 1000.0,
    "n_heldout": 1000.0,
    "fcd_ratio_test": 1.2,
    "fcd_ratio_test_low": 1.0,
    "fcd_ratio_test_high": 2.0,
    "fcd_train": 0.3,
    **LIKE,
    "accuracy_asked": 0.985,
    "accuracy_heldout": 0.99,
    **{f"{kind}_share{end}": 0.125 for kind in ("near", "lone") for end in ("", "_heldout")},
    "near_chance": 0.7,
    "lone_chance": 1.0,
    "golden_difference": 0.0,
}


FAR = {**LIKE, "n": 250.0, "n_heldout": 1000.0, "energy_classifier": 2.0, "energy_classifier_low": 1.9,
       "energy_classifier_high": 2.1, "fcd_ratio_test": 50.0}  # fmt: skip


NOISE = {"words": "uniform noise", "gross": True, "metrics": FAR}


PATCHES = {"words": "shuffled parts", "gross": False, "metrics": {**FAR, **LIKE}}


RECORD = {
    "conditions": {
        "resampling": RESAMPLING,
        "settings": {"confidence": 0.95},
    },
    "provenance": {"bundle": "b" * 64},
    "metrics": described(),
    "controls": {"noise": NOISE},
}


OLDER, UNSAID = ({**RECORD, "conditions": {**RECORD["conditions"], "resampling": kind}} for kind in ("halves", None))


def with_(**numbers: float) -> dict[str, float]:
    return {**GOOD, **numbers}


def interval(name: str, low: float, high: float, value: float | None = None) -> dict[str, float]:
    return with_(**{name: (low + high) / 2 if value is None else value, f"{name}_low": low, f"{name}_high": high})


def energy(low: float, high: float, value: float | None = None) -> dict[str, float]:
    return interval("energy_classifier", low, high, value)


def without(name: str) -> dict[str, float]:
    return {key: value for key, value in GOOD.items() if key != name}


def of(**changes: Any) -> dict[str, Any]:
    """A record of other metrics."""
    return {**RECORD, "metrics": described(**changes)}
