"""Settings of the measurement out of range are refused by name."""

from dataclasses import fields, replace

import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.metrics.config import PanelsConfig, PictureEvaluateConfig

PANELS = PanelsConfig(steps=(5, 10), images=100, trajectories=2)
EVALUATE = PictureEvaluateConfig(
    n="test", n_most=5000, seed=0, batch_size=64, engine="onnxruntime", steps=None, guidance=None,
    floor_draws=5, kid_subsets=50,
    kid_subset_size=500, is_splits=10, copy_quantile=0.001, copy_ratio=0.5, copy_shift=1, coverage_k=5, bits_images=100,
    bits_levels=5, resamples=200, confidence=0.95, grid_columns=10, neighbours=10, panels=PANELS,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1}, "n: must be `test` or at least 2, got 1"),
        ({"n_most": 1}, r"n_most: must be null \(no such limit\) or at least 2, got 1"),
        ({"seed": -1}, "seed: must be 0 or more"),
        ({"batch_size": 0}, "batch_size: must be at least 1"),
        ({"steps": 0}, r"steps: must be null \(the bundle's own\) or at least 1"),
        ({"guidance": -0.5}, r"guidance: must be null \(the bundle's own\) or 0 or more"),
        ({"floor_draws": 0}, "floor_draws: must be at least 1"),
        ({"kid_subset_size": 1}, "kid_subset_size: must be at least 2"),
        ({"copy_quantile": 0.0}, "copy_quantile: must be between 0 and 1, both excluded"),
        ({"copy_ratio": 1.0}, "copy_ratio: must be between 0 and 1, both excluded"),
        ({"copy_shift": -1}, "copy_shift: must be 0 or more"),
        ({"coverage_k": 0}, "coverage_k: must be at least 1"),
        ({"bits_images": -1}, "bits_images: must be 0 or more"),
        ({"bits_levels": 1}, "bits_levels: must be at least 2"),
        ({"resamples": 19}, "resamples: must be at least 20, got 19"),
        ({"confidence": 1.0}, "confidence: must be at least 0.5 and below 1"),
        ({"neighbours": 0}, "neighbours: must be at least 1"),
    ],
)
def test_settings_of_the_measurement_out_of_range_are_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        replace(EVALUATE, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (5, 5)}, r"steps: must be numbers of 1 or more, each once, got \(5, 5\)"),
        ({"steps": (0,)}, "steps: must be numbers of 1 or more, each once"),
        ({"images": 1}, "images: must be at least 2, got 1"),
        ({"trajectories": -1}, "trajectories: must be 0 or more"),
    ],
)
def test_panels_out_of_range_are_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        replace(PANELS, **changes)


@pytest.mark.parametrize(
    ("n", "most", "samples"),
    [
        ("test", 5000, 5000),
        ("test", None, 10_000),
        ("test", 20_000, 10_000),
        (7000, 5000, 7000),
        (50_000, None, 50_000),
    ],
)
def test_the_limit_on_samples_holds_for_test_alone(n, most, samples):
    assert replace(EVALUATE, n=n, n_most=most).samples(unseen=10_000) == samples


def test_two_measurements_may_differ_in_what_is_for_the_report_and_in_the_limit_on_samples_alone():
    """The limit shows in the number of samples itself, which is compared."""
    keys = {field.name for field in fields(EVALUATE)}
    assert EVALUATE.compared().keys() == keys - {"n_most", "panels"}
