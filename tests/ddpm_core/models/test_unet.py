"""Laws of the U-Net: shapes, parameter counts, what it starts from, what it may depend on."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.errors import ParamsError
from ddpm_core.models import UNetConfig
from ddpm_core.models.layers import Attention, modulated, sinusoidal_embedding
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


def test_the_sinusoidal_embedding_keeps_neighbouring_times_apart() -> None:
    embedding = sinusoidal_embedding(torch.arange(1.0, 1001.0), 32)
    assert embedding.shape == (1000, 32)
    torch.testing.assert_close(embedding.square().sum(1), torch.full((1000,), 16.0))
    distance = torch.cdist(embedding, embedding) + 10 * torch.eye(1000)
    assert distance.min() > 0.1


def test_the_sinusoidal_embedding_goes_from_1_to_a_ten_thousandth() -> None:
    """Sines, then cosines, of t times frequencies in geometric progression, both ends included."""
    t = torch.tensor([0.0, 3.0, 500.0])
    frequencies = 10000.0 ** (-torch.arange(4) / 3)
    angles = t[:, None] * frequencies
    torch.testing.assert_close(
        sinusoidal_embedding(t, 8), torch.cat([angles.sin(), angles.cos()], 1), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(7, 7), (4, 6), (1, 1)])
def test_attention_in_products_is_the_fused_one_and_so_are_its_gradients(
    dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    attention = Attention(24, heads=3, groups=4).double()
    nn.init.normal_(attention.out.weight, std=0.2)
    x, upstream = torch.randn((2, 5, 24, *shape), dtype=torch.float64)
    answers = []
    for training in (False, True):
        attention.train(training).zero_grad(set_to_none=True)
        attention.to(torch.float64 if not training or dtype == torch.float64 else torch.float32)
        given = x.to(attention.out.weight.dtype, copy=True).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=training and dtype == torch.bfloat16):
            out = attention(given)
        assert out.dtype == given.dtype
        out.backward(upstream.to(out.dtype))
        answers.append([out, given.grad, *(parameter.grad.clone() for parameter in attention.parameters())])
    tolerance = 1e-12 if dtype == torch.float64 else 0.03
    for exact, other in zip(*answers, strict=True):
        assert float((exact - other).detach().norm()) <= tolerance * max(1.0, float(exact.detach().norm()))


def test_the_gradient_of_attention_in_products_is_that_of_small_differences() -> None:
    torch.manual_seed(0)
    attention = Attention(8, heads=2, groups=2).double().train()
    nn.init.normal_(attention.out.weight)
    assert torch.autograd.gradcheck(attention, torch.randn((2, 8, 2, 3), dtype=torch.float64).requires_grad_())


@pytest.mark.parametrize(("side", "fused"), [(32, False), (33, True)])
def test_attention_over_many_pixels_is_always_the_fused_one(
    monkeypatch: pytest.MonkeyPatch, side: int, fused: bool
) -> None:
    def no_softmax(*_arguments: Any, **_options: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(torch, "softmax", no_softmax)
    attention = Attention(2, heads=1, groups=1)
    x = torch.zeros(1, 2, side, side)
    assert attention.eval()(x).shape == x.shape
    if fused:
        assert attention.train()(x).shape == x.shape
    else:
        with pytest.raises(NotImplementedError):
            attention.train()(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_modulated_normalisation_in_one_pass_is_the_formula_and_so_are_its_gradients(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = nn.GroupNorm(4, 12)
    nn.init.normal_(norm.weight, generator=generator)
    nn.init.normal_(norm.bias, generator=generator)
    x = torch.randn((3, 12, 5, 7), generator=generator).to(dtype)
    scale, shift = torch.randn((2, 3, 12), generator=generator).to(dtype)
    upstream = torch.randn(x.shape, generator=generator)
    answers = []
    for in_one, kind in ((False, torch.float32), (True, dtype)):
        inputs = [tensor.to(kind, copy=True).requires_grad_() for tensor in (x, scale, shift)]
        norm.zero_grad(set_to_none=True)
        out = modulated(norm, *inputs, in_one=in_one)
        assert out.dtype == kind
        out.backward(upstream.to(kind))
        answers.append([out, *(tensor.grad for tensor in (*inputs, norm.weight, norm.bias))])
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    for exact, other in zip(*answers, strict=True):
        assert float((exact - other).detach().norm() / exact.detach().norm()) < tolerance
