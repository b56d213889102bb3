"""Laws of the autoencoder: what samples sees the latent numbers alone, and is all that a bundle has."""

from math import prod
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.bundle.graph_weights import weights_in
from ddpm_core.errors import ParamsError
from ddpm_core.models.vae_config import VAEConfig
from ddpm_core.spec import DataSpec, labelled

TINY: dict[str, Any] = {
    "kind": "vae",
    "latent": 3,
    "channels": 4,
    "multipliers": (1, 2),
    "blocks": 1,
    "norm_groups": 2,
    "dropout": 0.0,
    "scale": "each",
}
T = torch.ones(3)
LABELS = torch.tensor([0, 1, 3])
SHAPES = [(2, 8, 4), (5,), (3, 4)]


def config(**changes: Any) -> VAEConfig:
    return VAEConfig(**{**TINY, **changes})


def spec_of(shape: tuple[int, ...], classes: int = 3) -> DataSpec:
    return labelled(shape, (-1.0, 1.0), 256, tuple("abc"[:classes]))


def net(shape: tuple[int, ...] = (2, 8, 4), classes: int = 3, **changes: Any) -> Any:
    """Random weights everywhere, so that nothing hides behind a zero output."""
    torch.manual_seed(0)
    model = config(**changes).build(spec_of(shape, classes), False)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def data(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("multipliers", [(1, 2), ()])
@pytest.mark.parametrize("scale", ["each", "shared"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_shapes_of_its_answers(shape: tuple[int, ...], scale: str, multipliers: tuple[int, ...]) -> None:
    model, x = net(shape, scale=scale, multipliers=multipliers), data(shape)
    mu, log_var = model.encode(x, LABELS)
    assert mu.shape == log_var.shape == (3, 3)
    mean, log_scale = model.decode(mu, LABELS)
    assert mean.shape == model(x, T, LABELS).shape == x.shape
    assert log_scale.shape == (x.shape if scale == "each" else ())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sample_is_decoded_from_the_first_numbers_of_the_noise(shape: tuple[int, ...]) -> None:
    model, x = net(shape), data(shape)
    z = x.reshape(3, -1)[:, :3]
    base = model(x, T, LABELS)
    assert torch.equal(base, model.decode(z, LABELS)[0])
    rest = torch.cat([z, torch.full((3, prod(shape) - 3), 9.0)], 1).reshape(x.shape)
    assert torch.equal(model(rest, 5 * T, LABELS), base)
    assert not torch.isclose(model(x + 0.1, T, LABELS), base).flatten(1).all(1).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_label_is_seen_by_both_halves_and_none_is_the_null_label(shape: tuple[int, ...]) -> None:
    model, x, null = net(shape), data(shape), torch.full((3,), 3)
    for answers in (lambda label: model(x, T, label), lambda label: model.encode(x, label)[0]):
        assert torch.equal(answers(None), answers(null))
        assert not torch.isclose(answers(LABELS), answers((LABELS + 1) % 4)).all(1).any()


def test_a_density_can_not_grow_without_limit_and_a_shared_scale_learns_as_fast_as_a_layer() -> None:
    model = net(scale="shared")
    with torch.no_grad():
        model.scale.fill_(-1e3)
        assert float(model.decode(torch.zeros(1, 3))[1]) == pytest.approx(-7)
        model.scale.fill_(0.3)
        assert float(model.decode(torch.zeros(1, 3))[1]) == pytest.approx(3, abs=1e-3)


def test_without_multipliers_both_halves_are_linear() -> None:
    model, x = net((5,), classes=0, multipliers=()), data((5,))
    for answers in (lambda v: model(v, T), lambda v: model.encode(v)[0]):
        torch.testing.assert_close(answers(2 * x), 2 * answers(x) - answers(0 * x))


def test_a_bundle_has_the_decoder_alone() -> None:
    spec, whole, own = spec_of((5,)), net((5,)), net((5,)).state_dict()
    graph = export_onnx(config().exported(whole), spec, opset=20)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(x: Any, t: Any, cond: Any) -> Any:
        return np.asarray(session.run(None, {"x": x, "t": t, **cond})[0])

    assert assert_parity(whole, run, spec, top_time=1.0, tolerance=1e-5) <= 1e-5
    weights = weights_in(graph)
    assert weights is not None
    assert set(own) - set(weights) == {name for name in own if name.startswith(("encoder.", "moments.", "scale."))}
    assert all(torch.equal(own[name], value) for name, value in weights.items())
    fresh = config().exported(config().build(spec, False))
    fresh.load_state_dict(weights)
    assert torch.equal(fresh.eval()(data((5,)), T, LABELS), whole(data((5,)), T, LABELS))


def test_a_new_network_answers_zero_and_an_encoder_does_not() -> None:
    for shape in SHAPES:
        fresh, x = config().build(spec_of(shape), False), data(shape)
        assert not fresh(x, T, LABELS).any()
        assert fresh.encode(x, LABELS)[0].all()  # else neither half would have a gradient


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": 0}, "latent: must be at least 1, got 0"),
        ({"multipliers": (0,)}, r"multipliers: must be numbers of at least 1, got \(0,\)"),
        ({"norm_groups": 3}, "channels: must be a multiple of norm_groups, got 4 and 3"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        config(**changes)


def test_what_it_cannot_take_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"model.multipliers: .* multiples of 4 .* got 8 x 6"):
        config().check(spec_of((1, 8, 6)))
    with pytest.raises(ParamsError, match=r"model.latent: must be at most the 4 values of a datum, got 5"):
        config(latent=5).check(spec_of((4,)))
    with pytest.raises(ParamsError, match="vae has no variance"):
        config().build(spec_of((5,)), True)
