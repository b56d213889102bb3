"""The plots of the report are drawn of curves of any length."""

import pytest

from pipelines.report.plots import curve_plots, level_loss_plot

BANDS = [f"loss_band_{number}" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("rows", [2, 3, 40])
def test_a_curve_of_two_rows_or_more_is_drawn(rows: int) -> None:
    columns = {name: [1.0 / (row + 1) for row in range(rows)] for name in ("step", "loss", "grad_norm", "lr", *BANDS)}
    assert len(curve_plots(columns)) == 3
    assert level_loss_plot(columns) is not None


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_rows_are_no_curve(rows: int) -> None:
    columns = {name: [1.0] * rows for name in ("step", "loss", *BANDS)}
    assert curve_plots(columns) == []
    assert level_loss_plot(columns) is None
