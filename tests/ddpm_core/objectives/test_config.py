"""Section `diffusion` as it is read, and the objects it makes."""

import logging

import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import DataSpec
from pipelines.parsing import parse

GOOD = {
    "kind": "diffusion",
    "schedule": {"kind": "cosine", "T": 100, "s": 0.008, "beta_max": 0.999, "zero_terminal_snr": False},
    "target": "v",
    "variance": "learned",
    "weighting": {"kind": "min_snr", "gamma": 5.0},
    "time_law": {"kind": "uniform", "stratified": True},
    "vlb_weight": 0.001,
}


def read(value):
    return parse(DiffusionConfig, value, "params.yaml")


def test_a_section_becomes_a_parameterisation_on_its_schedule():
    config = read(GOOD)
    assert config.learned_variance
    p = config.parameterisation()
    assert (p.target, p.schedule.T) == ("v", 100)
    assert config.weighting.table(p).shape == (101,)
    assert config.time_law.build(p.schedule).T == 100


def test_unknown_keys_are_refused():
    with pytest.raises(ParamsError, match="shedule"):
        read({**GOOD, "shedule": {}})


def test_a_negative_share_of_the_bound_is_refused():
    config = read(GOOD)
    with pytest.raises(ParamsError, match="vlb_weight: must be 0 or more"):
        DiffusionConfig("diffusion", config.schedule, "v", "learned", config.weighting, config.time_law, -1.0)


@pytest.mark.parametrize(
    ("weighting", "told"),
    [
        ({"kind": "min_snr", "gamma": 5.0}, True),
        ({"kind": "soft_min_snr", "gamma": 5.0}, True),
        ({"kind": "snr"}, True),
        ({"kind": "p2", "k": 1.0, "gamma": 1.0}, True),
        ({"kind": "simple"}, False),
        ({"kind": "edm"}, False),
        ({"kind": "vlb", "variance": "fixed_small"}, False),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_level_without_signal_that_has_no_weight_is_told(caplog, weighting, told):
    """Sampling from pure noise begins there."""
    spec = DataSpec((2,), None, None, {})
    for schedule, last_is_noise in (
        ({**GOOD["schedule"], "zero_terminal_snr": True}, True),
        (GOOD["schedule"], False),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            read({**GOOD, "schedule": schedule, "variance": "fixed_small", "weighting": weighting}).build(spec, None)
        assert ("level 100, the last, has weight 0" in caplog.text) == (told and last_is_noise)
