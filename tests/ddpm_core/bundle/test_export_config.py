"""Section `export`."""

import pytest

from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.errors import ParamsError


def test_every_value_out_of_range_is_told() -> None:
    with pytest.raises(
        ParamsError,
        match=r"opset: must be between 18 and 23, got 17; parity_tolerance: must be above 0, got 0; "
        r"golden_steps: must be at least 1, got 0; golden_tolerance: must be above 0, got -1; "
        r"ema: must be null, or at least 0 and below 1, got 1.0",
    ):
        ExportConfig(17, 0, 0, -1, 1.0, "last")
