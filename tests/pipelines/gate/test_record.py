"""What stage evaluate wrote of a model, read back."""

from pathlib import Path

import pytest

from ddpm_core.errors import DataError
from pipelines.evaluation.authenticity import write_measured
from pipelines.gate.record import read_measurement


def test_a_record_that_does_not_say_how_it_was_measured_is_refused(tmp_path: Path) -> None:
    metrics, record = tmp_path / "metrics.json", tmp_path / "record.json"
    write_measured(tmp_path, {"n": 3}, {"provenance": {"bundle": "b" * 64}, "metrics": []})
    with pytest.raises(
        DataError, match=r"record\.json: must say conditions\.settings\.confidence.* run `ddpm evaluate` again"
    ):
        read_measurement(metrics, record)


def test_a_record_of_before_metrics_described_themselves_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match=r"describe each metric \(metrics\).*`ddpm evaluate`"):
        write_measured(tmp_path, {"n": 3}, {"provenance": {"bundle": "b" * 64}})
