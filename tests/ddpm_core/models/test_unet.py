"""Laws of the U-Net: shapes, parameter counts, what it starts from, what it may depend on."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.errors import ParamsError
from ddpm_core.models import UNetConfig
from ddpm_core.models.unet import UNet
from ddpm_core.spec import labelled

TINY: dict[str, Any] = {
    "kind": "unet",
    "patch": 1,
    "channels": 8,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention_levels": (1,),
    "heads": 2,
    "norm_groups": 2,
    "dropout": 0.0,
    "scale_shift": True,
    "resblock_updown": False,
    "refine": 0,
}
CIFAR10_DDPM: dict[str, Any] = {
    "kind": "unet",
    "patch": 1,
    "channels": 128,
    "multipliers": (1, 2, 2, 2),
    "blocks": 2,
    "attention_levels": (1,),
    "heads": 1,
    "norm_groups": 32,
    "dropout": 0.1,
    "scale_shift": False,
    "resblock_updown": False,
    "refine": 0,
}


def net(
    shape: tuple[int, int, int] = (1, 8, 8), classes: int = 3, learned_variance: bool = False, **changes: Any
) -> UNet:
    """A tiny network with random weights everywhere, so that nothing hides behind a zero output."""
    torch.manual_seed(0)
    spec = labelled(shape, (-1.0, 1.0), 256, tuple(str(i) for i in range(classes)))
    model = UNetConfig(**{**TINY, **changes}).build(spec, learned_variance)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def inputs(shape: tuple[int, int, int] = (1, 8, 8), batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, *shape, generator=generator), torch.tensor([1.0, 500.0, 1000.0]), torch.tensor([0, 1, 3])


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_ddpm_network_for_cifar10_has_the_papers_number_of_parameters() -> None:
    with torch.device("meta"):
        model = UNet(UNetConfig(**CIFAR10_DDPM), (3, 32, 32), 0, False)
    assert parameters(model) == 35_746_307


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 16), (3, 16, 4), (4, 4, 4)])
@pytest.mark.parametrize("patch", [1, 2])
def test_the_output_has_the_shape_of_the_input(shape: tuple[int, int, int], patch: int) -> None:
    x, t, label = inputs(shape)
    assert net(shape, patch=patch)(x, t, label).shape == x.shape


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_a_patch_trades_pixels_for_channels(patch: int) -> None:
    shape = (3, 16, 16)
    x, t, label = inputs(shape)
    model = net(shape, patch=patch)
    assert model.stem.in_channels == 3 * patch**2
    assert model(x, t, label).shape == x.shape


def test_a_learned_variance_doubles_the_channels() -> None:
    x, t, label = inputs((3, 8, 8))
    assert net((3, 8, 8), learned_variance=True, patch=2)(x, t, label).shape == (3, 6, 8, 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"patch": 2},
        {"resblock_updown": True},
        {"scale_shift": False},
        {"blocks": 2},
        {"patch": 2, "refine": 4},
        {"refine": 6, "scale_shift": False},
    ],
)
def test_a_new_network_answers_zero(changes: dict[str, Any]) -> None:
    spec = labelled((1, 8, 8), (-1.0, 1.0), 256, ("a", "b", "c"))
    model = UNetConfig(**{**TINY, **changes}).build(spec, True)
    x, t, label = inputs()
    assert torch.equal(model(x, t, label), torch.zeros(3, 2, 8, 8))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"patch": 2},
        {"resblock_updown": True},
        {"scale_shift": False},
        {"multipliers": (1,), "attention_levels": ()},
        {"multipliers": (1, 2, 2), "attention_levels": (0, 2)},
        {"blocks": 2, "multipliers": (2, 1)},
        {"patch": 2, "refine": 4},
        {"refine": 3, "scale_shift": False},
    ],
)
def test_every_parameter_learns(changes: dict[str, Any]) -> None:
    model = net(**changes)
    model(*inputs()).square().sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_a_size_that_does_not_divide_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ParamsError, match="multiples of 4"):
        net((1, 10, 8), patch=2)


def test_blocks_may_do_the_resampling() -> None:
    plain, updown = net(), net(resblock_updown=True)
    assert parameters(updown) > parameters(plain)
    assert updown(*inputs()).shape == (3, 1, 8, 8)
