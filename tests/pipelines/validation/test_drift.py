"""Drift by its levels: the lower end of an interval decides; levels that make no sense are refused."""

from dataclasses import replace

import numpy as np
import pytest

from ddpm_core.errors import ParamsError
from pipelines.contract.config import DriftConfig, DriftLevels
from pipelines.validation.drift import drift_rows
from pipelines.validation.files import outcome
from pipelines.validation.summary import DataSummary
from tests.support.drift import DRIFT

FEATURES = np.random.default_rng(0).standard_normal((400, 4)).astype(np.float32)


def summary(n: int, cats: float) -> DataSummary:
    return DataSummary("pictures", (1, 2, 2), n, {"cat": round(n * cats), "dog": n - round(n * cats)}, {}, FEATURES)


def labels(before: DataSummary, now: DataSummary) -> str:
    return next(outcome(row) for row in drift_rows(before, now, DRIFT) if row["measure"] == "label shares")


def test_a_level_is_passed_by_all_of_an_interval() -> None:
    assert labels(summary(10_000, 0.5), summary(10_000, 0.58)) == "kept"
    assert labels(summary(10_000, 0.5), summary(10_000, 0.65)) == "warning"
    assert labels(summary(10_000, 0.5), summary(10_000, 0.9)) == "breach"
    assert labels(summary(10, 0.5), summary(10, 0.9)) == "kept"  # of ten data chance alone may do this


def test_before_any_data_were_accepted_there_are_no_rows() -> None:
    assert drift_rows(None, summary(10, 0.5), DRIFT) == []


def test_data_of_another_kind_are_a_warning_that_says_which() -> None:
    rows = drift_rows(summary(10, 0.5), replace(summary(10, 0.5), kind="points"), DRIFT)
    assert (rows[-1]["accepted"], rows[-1]["now"], outcome(rows[-1])) == ("pictures", "points", "warning")


def test_a_breach_below_its_warning_is_refused() -> None:
    low, high = DriftLevels(0.1, 0.1, 0.1, 0.1), DriftLevels(0.2, 0.2, 0.2, 0.2)
    with pytest.raises(ParamsError, match=r"breach\.fewer must be at least warning\.fewer, got 0\.1 and 0\.2"):
        DriftConfig(warning=high, breach=low)
    with pytest.raises(ParamsError, match=r"labels: must be between 0 and 1, got 1\.5"):
        DriftLevels(0.1, 1.5, 0.1, 0.1)
