"""What the numbers room computes, against torch-fidelity, which takes seconds to load and so stays out of its tests."""

import numpy as np
import pytest
import torch

from ddpm_core.metrics.kernel import kernel_distance


def test_kernel_distance_is_torch_fidelitys_over_one_subset_of_all() -> None:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    a, b = (np.random.default_rng(seed).standard_normal((50, 3)) + 0.5 * seed for seed in (0, 1))
    theirs = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=50, rng_seed=0, verbose=False
    )
    assert kernel_distance(a, b).value == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-9)
