"""What training shows of a window: to forecast all of it, to impute what a mask leaves; and the first batch."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds.series.training import AugmentConfig
from pipelines.kinds.series.training.masks import BlockMask, ForecastMask, MaskConfig, PatternMask, RandomMask
from tests.pipelines.kinds.series.made import IMPUTE, SERIES, arrays, csv, hourly, prepared

MASKS = MaskConfig(RandomMask(0.5, 0.2, 0.5), BlockMask(0.3, 2, 4), ForecastMask(0.1, 1, 3), PatternMask(0.1))


def test_to_impute_what_is_hidden_is_asked_for_and_nothing_else(tmp_path: Path) -> None:
    rows = hourly(60)
    rows[4] = rows[4].replace(",5,", ",NA,")
    csv(tmp_path, rows)
    made = prepared(tmp_path, window=IMPUTE)
    batch, spec = arrays(tmp_path, made, "train"), made.manifest.spec
    augment = SERIES.augmenter(AugmentConfig(MASKS), 3, spec)
    n = len(batch["x"])
    whole = augment(batch, 7, slice(0, n))
    told, asked = whole["told"] > 0, whole["present"] > 0
    assert not (told & asked).any()
    np.testing.assert_array_equal(told | asked, batch["present"] > 0)
    assert asked.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(whole["observed"], np.where(told, batch["observed"], 0))
    np.testing.assert_array_equal(whole["x"], batch["x"])
    part = augment(batch, 7, slice(2, 4))
    for name, array in part.items():
        np.testing.assert_array_equal(array, whole[name][2:4])
    assert (augment(batch, 8, slice(0, n))["told"] != whole["told"]).any()
    held = [SERIES.unaugmented(batch, AugmentConfig(MASKS), 3, spec)["told"] for _ in range(2)]
    np.testing.assert_array_equal(*held)


def test_to_forecast_a_window_stays_as_it_is(tmp_path: Path) -> None:
    csv(tmp_path, hourly(60))
    made = prepared(tmp_path)
    batch, spec = arrays(tmp_path, made, "train"), made.manifest.spec
    for name, array in SERIES.augmenter(AugmentConfig(None), 3, spec)(batch, 7, slice(1, 3)).items():
        np.testing.assert_array_equal(array, batch[name][1:3])


def test_masks_belong_to_windows_to_impute(tmp_path: Path) -> None:
    csv(tmp_path, hourly(60))
    with pytest.raises(ParamsError, match="masks"):
        SERIES.augmenter(AugmentConfig(MASKS), 0, prepared(tmp_path).manifest.spec)
    with pytest.raises(ParamsError, match="masks"):
        SERIES.augmenter(AugmentConfig(None), 0, prepared(tmp_path, window=IMPUTE).manifest.spec)


def test_a_first_batch_without_anything_to_learn_is_an_error(tmp_path: Path) -> None:
    csv(tmp_path, hourly(60))
    made = prepared(tmp_path)
    batch, spec = arrays(tmp_path, made, "train"), made.manifest.spec
    SERIES.check_batch(batch, spec, tmp_path)
    for changed in ({"x": np.ones_like(batch["x"])}, {"present": np.zeros_like(batch["present"])}):
        with pytest.raises(DataError, match="'a'"):
            SERIES.check_batch({**batch, **changed}, spec, tmp_path)


@pytest.mark.parametrize("task", ["forecast", "impute"])
def test_a_preview_is_a_picture_of_what_was_told_and_of_the_samples(tmp_path: Path, task: str) -> None:
    csv(tmp_path, hourly(60))
    made = prepared(tmp_path, **({} if task == "forecast" else {"window": IMPUTE}))
    batch, spec = arrays(tmp_path, made, "train"), made.manifest.spec
    cond = SERIES.preview_conditions(lambda: batch, spec, 20)
    assert set(cond) == set(spec.conditions)
    assert {len(value) for value in cond.values()} == {20}
    assert all((value[:10] == value[0]).all() for value in cond.values())
    if task == "impute":
        assert (cond["told"] == 0).any()
        assert (cond["observed"][cond["told"] == 0] == 0).all()
    samples = np.random.default_rng(0).normal(size=(20, *spec.shape)).astype(np.float32)
    image = Image.open(io.BytesIO(SERIES.preview(samples, cond, spec)))
    assert min(image.size) > 100
