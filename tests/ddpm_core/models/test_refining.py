"""The branch at full size, and when `auto` takes one."""

from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.models import UNetConfig
from ddpm_core.models.refining import plain_share
from ddpm_core.models.unet import UNet
from ddpm_core.spec import DataSpec, labelled
from pipelines.sampling.onnx_denoiser import OnnxDenoiser
from tests.ddpm_core.models.test_unet import TINY, inputs, net, parameters
from tests.support.tiny_bundle import tiny_bundle


def config(**changes: Any) -> UNetConfig:
    return UNetConfig(**{**TINY, "patch": 2, "refine": "auto", **changes})


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("learned", [False, True])
def test_the_answer_has_the_shape_of_the_input_at_every_size_that_divides(patch: int, learned: bool) -> None:
    shape = (3, patch * 5, patch * 7)
    x, t, label = inputs(shape)
    model = net(shape, learned_variance=learned, patch=patch, refine=4, multipliers=(1,), attention_levels=())
    assert model(x, t, label).shape == (3, 6 if learned else 3, *shape[1:])
    assert not torch.equal(model(x, t, label), model(x, t, label * 0))


def test_the_rest_of_the_network_begins_with_the_same_numbers() -> None:
    def fresh(refine: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        return dict(UNet(config(refine=refine), (3, 8, 8), 2, False).named_parameters())

    plain, refined = fresh(0), fresh(8)
    shared = plain.keys() & refined.keys()
    assert {name for name in plain if name not in shared} == {"out.weight", "out.bias"}
    assert {name.split(".")[0] for name in refined if name not in shared} == {"refine"}
    assert all(torch.equal(plain[name], refined[name]) for name in shared)


def test_the_branch_has_the_parameters_of_its_layers() -> None:
    """3 x 3 convolutions to c p^2 and from x, a residual block of two, two norms and one, and one to the answer."""
    c, width, embedding, channels = 4, 8, 32, 3
    block = 2 * (9 * c * c + c) + 2 * 2 * c + 2 * c * (embedding + 1)
    branch = (9 * width + 1) * 4 * c + (9 * channels + 1) * c + block + 2 * c + (9 * c + 1) * channels
    without = (9 * width + 1) * 4 * channels
    shape = (channels, 8, 8)
    assert parameters(net(shape, patch=2, refine=c)) - parameters(net(shape, patch=2)) == branch - without


def test_neighbours_across_the_edge_of_a_patch_touch_the_answer() -> None:
    """Without the branch a pixel of another patch acts on the answer through the patches alone; with it, directly."""
    model = net((1, 8, 8), patch=2, refine=4)
    assert model.refine is not None
    h, embedding = torch.zeros(1, 8, 4, 4), torch.zeros(1, 32)
    x = torch.zeros(1, 1, 8, 8)
    moved = x.clone()
    moved[..., 3, 3] = 1
    change = (model.refine(h, moved, embedding) - model.refine(h, x, embedding)).abs()[0, 0]
    assert change[4, 4] > 0
    assert change[3, 4] > 0


def test_onnxruntime_answers_as_torch(tmp_path: Any) -> None:
    shape, patch = (3, 6, 10), 2
    spec = labelled(shape, (-1.0, 1.0), 256, ("a", "b", "c"))
    model = net(shape, patch=patch, refine=4, multipliers=(1,), attention_levels=(), learned_variance=False)
    graph = export_onnx(model, spec, opset=20)
    bundle = tiny_bundle(tmp_path, spec=spec, model=graph)
    run = OnnxDenoiser(bundle, "cpu", 1)
    assert assert_parity(model, run, spec, top_time=1000.0, tolerance=1e-4) < 1e-4


# ---- auto


def colour(n: int = 3) -> np.ndarray:
    return np.zeros((n, 3, 8, 8), np.uint8)


def spec_of(images: np.ndarray) -> DataSpec:
    return labelled(images.shape[1:], (-1.0, 1.0), 256, ())


def textured() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)


def plain() -> np.ndarray:
    images = np.zeros((3, 1, 8, 8), np.uint8)
    images[:, :, 2:4, 2:5] = 200
    return images


@pytest.mark.parametrize(
    ("images", "patch", "channels"),
    [(colour(), 2, 16), (textured(), 2, 16), (plain(), 2, 0), (colour(), 1, 0), (textured(), 1, 0)],
    ids=["colour", "textured", "plain", "colour-pixels", "textured-pixels"],
)
def test_auto_refines_colour_and_textures_seen_in_patches(images: np.ndarray, patch: int, channels: int) -> None:
    found, why = config(patch=patch).resolved(spec_of(images), lambda: images)
    assert found == config(patch=patch, refine=channels)
    assert why


@pytest.mark.parametrize("given", [0, 4])
def test_a_number_is_kept_and_no_picture_is_looked_at(given: int) -> None:
    ours = config(refine=given)
    assert ours.resolved(spec_of(plain()), lambda: pytest.fail("looked")) == (ours, None)


def test_the_plain_share_counts_neighbours_equal_in_every_channel() -> None:
    images = np.zeros((1, 3, 2, 2), np.uint8)
    assert plain_share(images) == 1
    images[0, 2, 0, 0] = 1  # differs from its two neighbours, of four pairs
    assert plain_share(images) == 0.5
    assert plain_share(np.zeros((0, 1, 8, 8), np.uint8)) == 1
    assert plain_share(textured()) < 0.05
