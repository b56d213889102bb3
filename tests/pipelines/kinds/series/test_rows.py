"""From readings to windows: nothing of the test is seen before, gaps are masks, scaling is of the training part."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec
from pipelines.contract.config import read_suite
from pipelines.kinds.series.contract.config import SeriesContract
from pipelines.kinds.series.rows.windows import windows
from pipelines.kinds.series.sources.window import ForecastWindow, ImputeWindow
from tests.pipelines.kinds.series.made import IMPUTE, SERIES, arrays, csv, hourly, prepared
from tests.support.drift import DRIFT
from tests.support.imports import ROOT

STEPS = st.integers(1, 12)


@given(st.integers(0, 90), st.integers(0, 90), STEPS, STEPS, STEPS, STEPS)
def test_no_target_of_the_test_lies_in_a_training_window(
    steps: int, cut: int, history: int, horizon: int, stride: int, test_stride: int
) -> None:
    cut = min(cut, steps)
    forecast = ForecastWindow("forecast", history, horizon, stride, test_stride, 1.0)
    found = list(windows(steps, cut, forecast))
    for window in found:
        assert 0 <= window.start < window.target < window.end <= steps
        assert (window.target - window.start, window.end - window.target) == (history, horizon)
        assert window.end <= cut if window.split == "train" else window.target >= cut
    seen = {step for each in found if each.split == "train" for step in range(each.start, each.end)}
    asked = {step for each in found if each.split == "test" for step in range(each.target, each.end)}
    assert not seen & asked
    assert bool(seen) == (cut >= history + horizon)
    assert (
        bool(asked) == (max(cut, history) + horizon <= steps - (test_stride - 1 if cut < history else 0))
        or cut < history
    )


@given(st.integers(0, 90), st.integers(0, 90), st.integers(2, 12), STEPS, STEPS)
def test_windows_to_fill_of_train_and_test_share_no_step(
    steps: int, cut: int, length: int, stride: int, test_stride: int
) -> None:
    cut = min(cut, steps)
    found = list(windows(steps, cut, ImputeWindow("impute", length, stride, test_stride, 1.0)))
    train, test = (
        {step for each in found if each.split == side for step in range(each.start, each.end)}
        for side in ("train", "test")
    )
    assert not train & test
    assert all(each.target == each.start for each in found)
    assert bool(test) == (steps - cut >= length)


def test_a_window_holds_the_values_of_its_times_and_no_target_was_ever_shown(tmp_path: Path) -> None:
    csv(tmp_path, hourly(60))
    made = prepared(tmp_path)
    spec = made.manifest.spec
    train, test = (arrays(tmp_path, made, split) for split in ("train", "test"))
    assert spec.shape == (2, 3)
    assert spec.about["test_from"] == "2024-01-02T21:00"  # the 46th of 60 hours
    np.testing.assert_array_equal(test["x"][:, 0].ravel(), np.arange(46, 61))
    np.testing.assert_array_equal(train["x"][:, 1], train["x"][:, 0] + 1000)
    back = spec.decode(train["history"])
    np.testing.assert_allclose(back[:, 0, -1] + 1, train["x"][:, 0, 0], rtol=1e-5)
    shown = set(back.ravel().round().tolist()) | set(train["x"].ravel().tolist())
    assert not shown & set(test["x"].ravel().tolist())
    starts = [row.first for row in made.manifest.rows]
    assert starts == sorted(starts)  # so what training holds out are the latest of its windows
    assert all(row.end - row.first == 9 for row in made.manifest.rows)


def test_a_gap_is_a_mask_and_no_number(tmp_path: Path) -> None:
    rows = hourly(60)
    rows[10] = rows[10].replace(",11,", ",NA,")
    del rows[20]
    csv(tmp_path, rows)
    made = prepared(tmp_path)
    train = arrays(tmp_path, made, "train")
    spec = made.manifest.spec
    first = {row.first - made.manifest.rows[0].first: k for k, row in enumerate(made.manifest.of_split("train"))}
    target = first[4]  # steps 4 to 12, of which those from 10 on are the target
    assert train["present"][target].tolist() == [[0, 1, 1], [1, 1, 1]]
    assert train["x"][target, 0, 0] == 0
    history = first[18]  # steps 18 to 23 are its history, and step 20 has no row
    assert train["seen"][history].tolist() == [[1, 1, 0, 1, 1, 1]] * 2
    assert (train["history"][history][:, 2] == 0).all()
    assert all(np.isfinite(array).all() for array in train.values())
    assert spec.masked
    (row,) = {(row.longest_gap, row.series_missing) for row in made.manifest.rows}
    assert row == (1, round(3 / 120, 6))


def test_windows_of_which_too_much_is_missing_are_refused_by_name(tmp_path: Path) -> None:
    rows = hourly(60)
    csv(tmp_path, [*rows[:12], *rows[19:]])
    made = prepared(tmp_path)
    assert made.manifest.counts.found == len(made.manifest.rows) + len(made.rejected)
    names = [each.name for each in made.rejected]
    assert "from 2024-01-01T06:00" in names  # its horizon, from 12 o'clock on, is empty
    assert "from 2024-01-01T00:00" not in names
    assert all("max_missing" in each.reason for each in made.rejected)


def test_scaling_is_of_the_training_part_alone_and_is_undone(tmp_path: Path) -> None:
    rows = hourly(60)
    csv(tmp_path, rows)
    before = prepared(tmp_path).manifest.spec
    csv(tmp_path, [*rows[:45], *(row.replace(",10", ",99") for row in rows[45:])])
    made = prepared(tmp_path)
    spec = made.manifest.spec
    assert spec.scaling == before.scaling
    assert spec.scaling is not None
    values = np.stack([np.arange(1, 46), np.arange(1001, 1046)])
    np.testing.assert_allclose(spec.scaling.mean, values.mean(axis=1))
    np.testing.assert_allclose(spec.scaling.std, values.std(axis=1))
    x = arrays(tmp_path, made, "test")["x"]
    np.testing.assert_allclose(spec.decode(spec.encode(x)), x, rtol=1e-6)
    assert DataSpec.from_dict(spec.to_dict()) == spec


def many(n: int = 40) -> list[str]:
    """A low and a high series, the high one a day later and with a column that never changes before the test."""
    times = np.datetime64("2024-01-01", "s") + np.arange(n) * np.timedelta64(1, "h")
    low = [f"low,{time},{np.sin(k)},{k}" for k, time in enumerate(times)]
    return low + [f"high,{time + np.timedelta64(1, 'D')},{1e6 + 1e3 * np.sin(k)},7" for k, time in enumerate(times)]


def test_series_of_other_levels_each_have_a_scaling_that_the_label_undoes(tmp_path: Path) -> None:
    csv(tmp_path, many(), "id,time,a,b")
    made = prepared(tmp_path, series="id", scaling="each_series")
    spec = made.manifest.spec
    assert spec.classes == ("high", "low")
    assert DataSpec.from_dict(spec.to_dict()) == spec
    assert spec.scaling is not None
    high, low = spec.scaling.of_class
    assert high.mean[0] == pytest.approx(1e6, rel=1e-3)
    assert low.mean[0] == pytest.approx(0.0, abs=0.1)
    assert high.std[1] == spec.scaling.std[1]  # of all: its own would be 0
    train = arrays(tmp_path, made, "train")
    assert np.abs(train["history"][:, 0]).max() < 2
    scaled = spec.encode(train["x"], train["label"])
    assert np.abs(scaled[:, 0]).max() < 2
    np.testing.assert_allclose(spec.decode(scaled, train["label"]), train["x"], rtol=1e-5, atol=1e-4)
    together = prepared(tmp_path, series="id").manifest.spec
    assert together.scaling is not None
    assert together.scaling.of_class == ()


def test_the_test_begins_at_one_moment_for_all_series(tmp_path: Path) -> None:
    csv(tmp_path, many(), "id,time,a,b")
    rows = prepared(tmp_path, series="id").manifest.rows
    assert {row.series for row in rows} == {"high", "low"}
    train, test = ([row for row in rows if row.split == split] for split in ("train", "test"))
    assert max(row.end for row in train) <= min(row.target for row in test)
    assert {row.label for row in rows if row.series == "high"} == {0}
    assert {row.constant for row in rows if row.series == "high"} == {1}
    found = SERIES.data_set_columns(rows)
    assert found["leaking"] == 0
    leak = replace(train[0], split="test")
    assert SERIES.data_set_columns([*rows, leak])["leaking"] == 1
    assert SERIES.data_set_columns(rows)["fewest_train_windows"] > 0


def test_the_order_of_the_rows_changes_nothing_but_is_counted(tmp_path: Path) -> None:
    csv(tmp_path, hourly(60))
    made = prepared(tmp_path)
    straight = arrays(tmp_path, made, "train")
    csv(tmp_path, reversed(hourly(60)))
    turned = prepared(tmp_path)
    for name, array in arrays(tmp_path, turned, "train").items():
        np.testing.assert_array_equal(array, straight[name])
    assert {row.backward for row in made.manifest.rows} == {0.0}
    assert {row.backward for row in turned.manifest.rows} == {round(59 / 60, 6)}


def test_a_time_there_twice_or_off_the_grid_is_quarantined_with_its_line(tmp_path: Path) -> None:
    rows = hourly(60)
    csv(tmp_path, [*rows[:5], "2024-01-01T03:00,9,9", *rows[5:8], "2024-01-01T07:20,9,9", *rows[8:]])
    made = prepared(tmp_path)
    reasons = {each.name: each.reason for each in made.rejected}
    assert "table.csv:5" in reasons["table.csv:7"]
    assert "grid of h" in reasons["table.csv:11"]
    assert {row.irregular for row in made.manifest.rows} == {round(2 / 62, 6)}


def test_clocks_put_forward_or_back_leave_no_gap(tmp_path: Path) -> None:
    night = [f"2024-10-26T{hour:02}:00" for hour in range(24)]
    night += [f"2024-10-27T{hour:02}:00" for hour in (0, 1, 2, 2, *range(3, 24))]
    csv(tmp_path, [f"{time},{k},{k % 5}" for k, time in enumerate(night)])
    made = prepared(tmp_path, time_zone="Europe/Berlin")
    assert not made.rejected
    assert {row.longest_gap for row in made.manifest.rows} == {0}
    assert made.manifest.rows[-1].end - made.manifest.rows[0].first == 49
    hour = np.concatenate([arrays(tmp_path, made, split)["calendar"][:, 0] for split in ("train", "test")])
    starts = [row.start for split in ("train", "test") for row in made.manifest.of_split(split)]
    turn = [2 * np.pi * int(start[11:13]) / 24 for start in starts]
    np.testing.assert_allclose(hour[:, 0], np.sin(turn), atol=1e-6)
    csv(tmp_path, [f"2024-03-{day},{day},{day % 5}" for day in range(10, 32)])
    made = prepared(tmp_path, time_zone="Europe/Berlin")  # a day is a date there, though one has 23 hours
    assert not made.rejected
    assert made.manifest.spec.about["frequency"] == "D"
    csv(tmp_path, [*hourly(40), "2024-01-02T16:00+01:00,1,1"])
    with pytest.raises(DataError, match="offset"):
        prepared(tmp_path)


def test_windows_to_fill_are_told_what_there_is(tmp_path: Path) -> None:
    rows = hourly(60)
    rows[4] = rows[4].replace(",5,", ",NA,")
    csv(tmp_path, rows)
    made = prepared(tmp_path, window=IMPUTE)
    spec, train = made.manifest.spec, arrays(tmp_path, made, "train")
    assert list(spec.conditions) == ["observed", "told", "calendar"]
    assert spec.about["window"] == 8
    np.testing.assert_array_equal(train["told"], train["present"])
    np.testing.assert_allclose(train["observed"], np.where(train["present"], spec.encode(train["x"]), 0))
    assert train["present"].min() == 0


def test_series_that_cannot_be_learned_from_are_refused(tmp_path: Path) -> None:
    for lines, key in (
        ([f"{row.split(',')[0]},1,{k}" for k, row in enumerate(hourly(60))], "'a'"),
        (["2024-01-01,1,2"], "two different times"),
        (["2024-01-01T00:00,1,2", "2024-01-01T01:00,2,3", "9024-01-01T00:00,3,4"], "frequency"),
    ):
        csv(tmp_path, lines)
        with pytest.raises(DataError, match=key):
            prepared(tmp_path)
    csv(tmp_path, hourly(8))
    made = prepared(tmp_path)
    assert not made.manifest.rows
    assert "8 steps" in made.rejected[0].reason


def test_the_suite_looks_at_columns_that_there_are(tmp_path: Path) -> None:
    csv(tmp_path, hourly(60))
    made = prepared(tmp_path)
    limits: dict[str, Any] = dict.fromkeys(SeriesContract.__checks__, 1)
    contract = SeriesContract(**limits, drift=DRIFT)
    suite = read_suite(
        ROOT / "pipelines/kinds/series/contract/suite.json",
        ("files", "series", "classes", "data_set"),
        {**contract.parameters(), "labels": [-1]},
        contract,
    )
    rows = {*vars(made.manifest.rows[0]), "file", "earlier_copies"}
    assert {rule["kwargs"]["column"] for rule in suite["series"]} <= rows
    whole = {"train", "test", "unaccounted", *SERIES.data_set_columns(made.manifest.rows)}
    assert {rule["kwargs"]["column"] for rule in suite["data_set"]} <= whole
    thresholds = {rule["notes"] for rules in suite.values() for rule in rules}
    for name in SeriesContract.__checks__:
        assert name == "rows_named" or any(f"contract.{name}" in text for text in thresholds), name


def test_a_breach_by_a_value_far_from_all_others_names_it_and_the_key(tmp_path: Path) -> None:
    rows = hourly(80)
    rows[30] = rows[30].split(",")[0] + ",31,-9999"
    csv(tmp_path, rows)
    manifest = prepared(tmp_path).manifest
    said = SERIES.cure({"deviations"}, manifest.rows, manifest.spec, tmp_path / "prepared")
    assert "the farthest value is -9999 in column 'b'" in said
    assert "source.missing as the CSV has it, such as ['-9999']" in said
    assert "files" not in said
    assert "farthest" not in SERIES.cure({"missing"}, manifest.rows, manifest.spec, tmp_path / "prepared")
