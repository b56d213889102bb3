"""What stage evaluate wrote of a model, read back."""

from pathlib import Path

import pytest

from ddpm_core.errors import DataError
from ddpm_core.files import atomic_write_json
from pipelines.tools.measurement import read_measurement


def test_a_record_that_does_not_say_how_it_was_measured_is_refused(tmp_path: Path) -> None:
    metrics, record = tmp_path / "metrics.json", tmp_path / "record.json"
    atomic_write_json(metrics, {"n": 3})
    atomic_write_json(record, {"provenance": {"bundle": "b" * 64}})
    with pytest.raises(DataError, match=r"record\.json: must say conditions\.distances, .* run `ddpm evaluate` again"):
        read_measurement(metrics, record)
