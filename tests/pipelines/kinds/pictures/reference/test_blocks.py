"""Training images in blocks: the Gaussian of all, the features of those that are kept, and never more than a block."""

import numpy as np
import pytest

from ddpm_core.metrics.frechet import gaussian_of
from pipelines.kinds.pictures.reference import build


def features_of(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 16


@pytest.mark.parametrize("block", [7, 25, 26, 1000])
def test_blocks_give_what_all_at_once_gives(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BLOCK", block)
    images = np.random.default_rng(0).integers(0, 256, (26, 1, 2, 2), dtype=np.uint8)
    rows = np.array([25, 0, 7, 6, 14, 13])
    held: list[int] = []

    def look(part: np.ndarray) -> np.ndarray:
        held.append(len(part))
        return features_of(part)

    gaussian, kept = build.gaussian_and_rows(look, images, rows)
    whole = gaussian_of(features_of(images))
    assert gaussian.n == 26
    assert np.allclose(gaussian.mean, whole.mean, rtol=1e-12)
    assert np.allclose(gaussian.cov, whole.cov, rtol=1e-10)
    assert np.array_equal(kept, features_of(images)[rows])
    assert max(held) <= block
    assert sum(held) == 26
    if block >= 26:
        assert np.array_equal(gaussian.cov, whole.cov)  # to the bit
