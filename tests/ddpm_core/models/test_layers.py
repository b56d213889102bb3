"""Layers of the U-Net: attention in products is the fused one, normalisation in one pass is its formula."""

from typing import Any

import pytest
import torch
from torch import nn

from ddpm_core.models import layers
from ddpm_core.models.layers import Attention, modulated
from ddpm_core.models.time_label import sinusoidal_embedding


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
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    attention = Attention(24, heads=3, groups=4).double()
    nn.init.normal_(attention.out.weight, std=0.2)
    x, upstream = torch.randn((2, 5, 24, *shape), dtype=torch.float64)
    answers = []
    for rows in (0, layers.FEW):  # attention among at most this many pixels uses matrix products
        monkeypatch.setattr(layers, "FEW", rows)
        attention.zero_grad(set_to_none=True)
        attention.to(torch.float64 if not rows or dtype == torch.float64 else torch.float32)
        given = x.to(attention.out.weight.dtype, copy=True).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=rows > 0 and dtype == torch.bfloat16):
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


@pytest.mark.parametrize("at_once", [1, 500, 10**6])
def test_attention_without_gradients_has_the_same_bits_in_parts(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(layers, "AT_ONCE", at_once)
    q, k, v = torch.randn((3, 7, 6, 4), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        in_parts = layers.weighed(q, k, v)
    assert torch.equal(in_parts, layers.weighed(q, k, v))


@pytest.mark.parametrize("training", [False, True])
def test_attention_answers_no_pictures_and_the_shapes_of_the_meta_device(training: bool) -> None:
    attention = Attention(8, heads=2, groups=2).train(training)
    assert attention(torch.zeros(0, 8, 3, 4)).shape == (0, 8, 3, 4)
    assert attention.to("meta")(torch.zeros(2, 8, 3, 4, device="meta")).shape == (2, 8, 3, 4)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("side", "fused"), [(32, False), (33, True)])
def test_attention_over_many_pixels_is_always_the_fused_one(
    monkeypatch: pytest.MonkeyPatch, side: int, fused: bool, training: bool
) -> None:
    def no_softmax(*_arguments: Any, **_options: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(torch, "softmax", no_softmax)
    attention = Attention(2, heads=1, groups=1).train(training)
    x = torch.zeros(1, 2, side, side)
    if fused:
        assert attention(x).shape == x.shape
    else:
        with pytest.raises(NotImplementedError):
            attention(x)


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
