"""What is kept of a data set, whatever the size of its numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.kinds import kind_of
from pipelines.profiling.plan import params_of
from pipelines.validation.compare import feature_distance
from pipelines.validation.summary import DataSummary, read_summary, summary_of, write_summary

N = 400


def summary_of_points(folder: Path, points: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> DataSummary:
    folder.mkdir()
    table = folder / "points.csv"
    table.write_text("x,y\n" + "".join(f"{x!r},{y!r}\n" for x, y in points.tolist()))
    params = params_of(table)
    source = replace(params.source, path=str(table))
    manifest = kind_of(params.kind).prepare(source, params.split, folder, folder, 1).manifest
    return summary_of(manifest, folder)


@pytest.mark.parametrize(
    ("scale", "offset"), [(1.0, 0.0), (1e6, 0.0), (1e30, 0.0), (1e-9, 0.0), (1.0, 5e4)]
)  # offset of x
def test_drift_is_the_same_in_any_unit(tmp_path: Path, scale: float, offset: float) -> None:
    """Of 16 bits there are none above 65,504, none below 6e-8, and near 50,000 none between two numbers 32 apart."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((N, 2)), rng.standard_normal((N, 2)) + 0.7
    expected = feature_distance(a.astype(np.float32), b.astype(np.float32))[0]
    before, now = (
        summary_of_points(tmp_path / name, scale * each + [offset, 0.0]) for name, each in (("a", a), ("b", b))
    )
    write_summary(tmp_path / "accepted.json", before)
    accepted = read_summary(tmp_path / "accepted.json")
    assert accepted is not None
    assert np.array_equal(accepted.features, before.features)
    assert feature_distance(accepted.features, now.features)[0] == pytest.approx(expected, rel=0.02)
