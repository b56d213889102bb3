"""Bits per dimension by the network that ships: repeatable, with an error, and left out with a reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.metrics.metric import Metric
from ddpm_core.spec import conditions_of
from pipelines.evaluation.likelihood import held_out_bits
from pipelines.sampling.onnx_denoiser import OnnxDenoiser
from tests.support.tiny_bundle import tiny_bundle

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8)).astype(np.uint8)
LABELS = np.arange(40) % 3


def bits(folder: Path, *, conditional: bool = True, count: int = 20, levels: int = 4) -> dict[str, Metric]:
    bundle = tiny_bundle(folder / "bundle", conditional=conditional)
    network = OnnxDenoiser(bundle, "cpu", 1)
    found = held_out_bits(
        network, bundle, IMAGES, conditions_of(bundle.spec, LABELS), count=count, levels=levels, seed=0
    )
    return {metric.name: metric for metric in found.metrics}


def values(metrics: dict[str, Metric]) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics.items() if metric.value is not None}


@pytest.mark.parametrize("conditional", [True, False])
def test_the_bound_comes_with_its_error_and_repeats(tmp_path: Path, conditional: bool) -> None:
    found = bits(tmp_path, conditional=conditional)
    assert values(found)["bits_per_dim"] > 1
    assert values(found)["bits_per_dim_error"] > 0
    assert values(bits(tmp_path, conditional=conditional)) == values(found)


def test_each_picture_is_asked_about_with_its_own_label(tmp_path: Path) -> None:
    """Black ones have label 0 and white ones 1; where there is little noise the network sees which it is."""
    labels = np.arange(40) // 20
    images = np.broadcast_to(255 * labels[:, None, None, None], IMAGES.shape).astype(np.uint8)
    bundle = tiny_bundle(tmp_path / "bundle", conditional=True)
    asked, seen = OnnxDenoiser(bundle, "cpu", 1), []

    def network(x: Any, t: Any, cond: Any) -> Any:
        seen.extend(zip(x.mean(axis=(1, 2, 3)).tolist(), cond["label"].tolist(), strict=True))
        return asked(x, t, cond)

    held_out_bits(network, bundle, images, {"label": labels}, count=20, levels=4, seed=0)
    clear = [(int(mean > 0), label) for mean, label in seen if abs(mean) > 0.6]
    assert {label for _, label in clear} == {0, 1}
    assert all(white == label for white, label in clear)


def test_more_levels_than_there_are_are_all_of_them(tmp_path: Path) -> None:
    assert values(bits(tmp_path, levels=1000, count=4)) == values(bits(tmp_path, levels=50, count=4))


def test_no_pictures_is_no_number_and_the_reason(tmp_path: Path) -> None:
    (metric,) = bits(tmp_path, count=0).values()
    assert (metric.name, metric.value, metric.left_out) == ("bits_per_dim", None, "evaluate.bits_images is 0")
