"""The U-Net's parameters: what is refused, and in which words."""

from typing import Any

import pytest

from ddpm_core.diffusion.schedules import ScheduleBase
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models import NetworkConfig, UNetConfig
from ddpm_core.objectives.base_config import BaseObjectiveConfig
from ddpm_core.spec import labelled

VALID: dict[str, Any] = {
    "kind": "unet",
    "patch": 2,
    "channels": 16,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention_levels": (1,),
    "heads": 2,
    "norm_groups": 4,
    "dropout": 0.0,
    "scale_shift": True,
    "resblock_updown": False,
    "refine": 0,
}


def config(**changes: Any) -> UNetConfig:
    return UNetConfig(**{**VALID, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 0}, r"patch: must be at least 1, got 0"),
        ({"channels": 15}, r"channels: must be an even number of at least 2, got 15"),
        ({"multipliers": ()}, r"multipliers: must be one or more numbers of at least 1, got \(\)"),
        ({"multipliers": (1, 0)}, r"multipliers: must be one or more numbers of at least 1, got \(1, 0\)"),
        ({"blocks": 0}, r"blocks: must be at least 1, got 0"),
        ({"attention_levels": (-1,)}, r"attention_levels: must be different numbers of 0 or more .* got \(-1,\)"),
        ({"attention_levels": (1, 1)}, r"attention_levels: must be different numbers of 0 or more"),
        ({"attention_levels": (2,)}, r"attention_levels: 2 multipliers give the levels 0 to 1, got 2"),
        ({"heads": 0}, r"heads: must be at least 1, got 0"),
        ({"heads": 3}, r"heads: must divide the 32 channels of level 1, got 3"),
        ({"norm_groups": 0}, r"norm_groups: must be at least 1, got 0"),
        ({"norm_groups": 5}, r"channels: must be a multiple of norm_groups, got channels=16, norm_groups=5"),
        ({"refine": -1}, r"refine: must be auto, or 0 or more, got -1"),
        ({"refine": "on"}, r"refine: must be auto, or 0 or more, got 'on'"),
        ({"dropout": 1.0}, r"dropout: must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        config(**changes)


def test_all_faults_between_fields_are_told_at_once() -> None:
    with pytest.raises(ParamsError, match=r"norm_groups=5; attention_levels: .* got 7; heads: must divide the 32"):
        config(norm_groups=5, attention_levels=(7,), heads=5)


def test_heads_need_divide_only_the_levels_with_attention_and_the_middle() -> None:
    assert config(channels=20, multipliers=(1, 2), attention_levels=(), heads=8, norm_groups=4).heads == 8


def test_sides_are_multiples_of_the_patch_and_of_each_halving() -> None:
    assert config(patch=4, multipliers=(1, 1, 2)).stride == 16
    config(patch=4, multipliers=(1, 1, 2)).check_shape((3, 32, 48))


@pytest.mark.parametrize("shape", [(1, 28, 30), (1, 30, 28), (1, 1, 1)])
def test_a_size_that_does_not_divide_is_refused_with_the_way_out(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ParamsError, match=r"multiples of 4 \(patch 2, halved 1 times\), got .* smaller model.patch"):
        config().check_shape(shape)


@pytest.mark.parametrize("shape", [(5, 28, 28), (0, 28, 28), (28, 28), (3, 8, 28, 28)])
def test_data_that_are_no_pictures_of_one_to_four_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"shape \(1 to 4 channels, height, width\), got"):
        config().check_shape(shape)


def test_auto_is_no_network() -> None:
    spec = labelled((1, 8, 8), (-1.0, 1.0), 256, ("a",))
    with pytest.raises(ParamsError, match=r"model.refine: .* a number of channels, got auto; .* or give 0 or 16"):
        config(refine="auto").build(spec, learned_variance=False)


def test_a_network_kept_before_there_was_refine_has_none() -> None:
    kept = {key: value for key, value in VALID.items() if key != "refine"}
    assert UNetConfig(**UNetConfig.read(kept)) == config(refine=0)
    assert UNetConfig(**UNetConfig.read({**kept, "refine": 16})) == config(refine=16)


def test_a_network_or_objective_or_schedule_without_what_it_builds_is_refused_when_it_is_made() -> None:
    class Nameless(NetworkConfig):
        pass

    class Aimless(BaseObjectiveConfig):
        pass

    class Flat(ScheduleBase):
        pass

    for cls, fields in ((Nameless, {}), (Aimless, {}), (Flat, {"kind": "flat", "T": 10})):
        with pytest.raises(TypeError, match="build"):
            cls(**fields)
