"""Limits of a gate that cannot be are refused."""

from dataclasses import replace

import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.gate.config import Limit
from tests.support.judged import GATE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": ""}, r"model_name: must be null \(by the data\) or a name without"),
        ({"model_name": "a/b"}, "without `/`, `:` or outer spaces, got 'a/b'"),
        ({"min_samples": 0}, "min_samples: must be at least 1, got 0"),
        ({"max_energy": 0.0}, "max_energy: must be above 0, got 0.0"),
        ({"max_lost": 1.5}, "max_lost: must be between 0 and 1, got 1.5"),
        ({"max_rough": -0.1}, "max_rough: must be between 0 and 1, got -0.1"),
        ({"max_distance_ratio": 0.9}, r"max_distance_ratio: must be null \(no such rule\) or at least 1"),
        ({"max_accuracy_loss": 1.5}, r"max_accuracy_loss: must be null \(no such rule\) or between 0 and 1, got 1.5"),
        ({"max_copy_excess": -0.1}, "max_copy_excess: must be between 0 and 1"),
        ({"copy_significance": 0.0}, "copy_significance: must be between 0 and 1, both excluded"),
        ({"max_broken_excess": 2.0}, "max_broken_excess: must be between 0 and 1"),
        ({"max_golden_difference": -1.0}, "max_golden_difference: must be 0 or more"),
        ({"max_unseen_controls": -1}, "max_unseen_controls: must be 0 or more, got -1"),
        ({"max_champion_loss": -0.5}, "max_champion_loss: must be 0 or more, got -0.5"),
    ],
)
def test_rules_out_of_range_are_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        replace(GATE, **changes)


def test_a_limit_without_ends_is_refused():
    with pytest.raises(ParamsError, match="the limit on 'fid' must have a min or a max, got neither"):
        Limit("fid", None, None)
