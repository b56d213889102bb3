"""DINOv2's network by its laws; tests/peers holds it against timm's."""

import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ddpm_core.errors import DataError, IntegrityError, ParamsError
from ddpm_core.files import sha256_bytes
from ddpm_core.spec import labelled
from pipelines.kinds.pictures.reference.config import ReferenceConfig
from pipelines.kinds.pictures.reference.dinov2 import Size, VisionTransformer, load_dinov2, prepared, size_of
from pipelines.kinds.pictures.reference.extractor import extract
from pipelines.kinds.pictures.reference.extractors import DINOV2_NAME, open_extractors, read_extractor
from pipelines.kinds.pictures.reference.weights_files import ExtractorFile
from pipelines.parsing import parse
from tests.support.measured import REFERENCE

CPU = torch.device("cpu")
SMALL = Size(dims=128, depth=2, grid=5, registers=0)


def network(size: Size) -> VisionTransformer:
    torch.manual_seed(0)
    model = VisionTransformer(size).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "." not in name:  # tokens and positions begin as 0
            parameter.normal_()
    return model


def saved(model: VisionTransformer) -> bytes:
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("size", "parameters"),
    [(Size(384, 12, 37, 0), 22_056_576), (Size(384, 12, 37, 4), 22_058_112), (Size(768, 12, 37, 0), 86_580_480)],
)
def test_it_has_as_many_parameters_as_the_official_checkpoint(size: Size, parameters: int) -> None:
    with torch.device("meta"):
        model = VisionTransformer(size)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("registers", [0, 4])
def test_at_its_own_grid_the_position_embedding_is_used_as_it_is(registers: int) -> None:
    model = network(replace(SMALL, registers=registers))
    torch.testing.assert_close(model.positions(5, 5), model.pos_embed[:, 1:], rtol=0, atol=0)


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("sides", [(16, 16), (4, 7), (36, 36)])
def test_a_resampled_position_embedding_has_a_row_a_patch_and_keeps_a_constant(
    registers: int, sides: tuple[int, int]
) -> None:
    model = network(Size(64, 1, 37, registers))
    model.pos_embed.fill_(0.25)
    positions = model.positions(*sides)
    torch.testing.assert_close(positions, torch.full((1, sides[0] * sides[1], 64), 0.25))


def test_a_resampled_position_embedding_follows_a_ramp() -> None:
    model = network(Size(64, 1, 37, 4))
    ramp = (torch.arange(37.0) + 0.5) / 37
    model.pos_embed[:, 1:] = ramp[:, None].expand(37, 37).reshape(1, -1, 1)
    down = model.positions(16, 16).reshape(16, 16, 64)[:, 0, 0]
    torch.testing.assert_close(down[2:-2], ((torch.arange(16.0) + 0.5) / 16)[2:-2], rtol=0, atol=1e-4)


def test_patches_without_positions_may_come_in_any_order() -> None:
    model = network(SMALL)
    model.pos_embed.zero_()
    x = torch.randn(2, 3, 70, 70)
    turned = x.reshape(2, 3, 5, 14, 70).flip(2).reshape(2, 3, 70, 70)  # rows of patches upside down
    torch.testing.assert_close(model(x), model(turned), rtol=1e-4, atol=1e-4)
    model.pos_embed.normal_()
    assert (model(x) - model(turned)).abs().max() > 1e-2


def test_registers_are_tokens_that_the_features_look_at() -> None:
    model = network(replace(SMALL, registers=4))
    x = torch.randn(1, 3, 70, 70)
    before = model(x)
    model.register_tokens.normal_()
    assert (model(x) - before).abs().max() > 1e-3


def test_pictures_are_resized_to_224_and_brought_to_the_scale_of_imagenet() -> None:
    grey = torch.full((2, 3, 28, 40), 255, dtype=torch.uint8)
    x = prepared(grey)
    assert x.shape == (2, 3, 224, 224)
    expected = (1.0 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(x, expected[None, :, None, None].expand_as(x))
    edges = prepared(torch.tensor([0, 255], dtype=torch.uint8).repeat(1, 3, 14, 7))
    assert edges.min() >= -0.486 / 0.229
    assert edges.max() <= (1 - 0.405) / 0.224


def test_the_file_tells_the_size_and_features_do_not_depend_on_the_batch() -> None:
    model = network(replace(SMALL, grid=16, registers=4))
    run, about = load_dinov2(saved(model), CPU)
    assert about.startswith("ViT/14 of 128 x 2 and 4 registers")
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8))
    features, logits = run(images)
    assert (features.shape, logits.shape) == ((3, 128), (3, 0))
    torch.testing.assert_close(features[1:2], run(images[1:2])[0], rtol=1e-5, atol=1e-5)


def without(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if key != name}


def test_weights_of_something_else_are_refused() -> None:
    tensors = network(SMALL).state_dict()
    with pytest.raises(IntegrityError, match="must be an official checkpoint of a backbone, but 'cls_token' is not in"):
        size_of(without(tensors, "cls_token"))
    stream = io.BytesIO()
    torch.save(without(tensors, "norm.weight"), stream)
    with pytest.raises(IntegrityError, match=r"(?s)must be those of a vision transformer of Size\(.*norm.weight"):
        load_dinov2(stream.getvalue(), CPU)


class Planted:
    """Unpickled, it would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_nothing_but_tensors_is_unpickled() -> None:
    stream = io.BytesIO()
    torch.save({"cls_token": Planted()}, stream)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load_dinov2(stream.getvalue(), CPU)


def test_a_listed_dinov2_gives_fd_dinov2_and_no_score(tmp_path: Path) -> None:
    weights = saved(network(replace(SMALL, grid=16)))
    (tmp_path / "weights.pth").write_bytes(weights)
    listed = ExtractorFile(kind="dinov2_vits14", path="weights.pth", sha256=sha256_bytes(weights), download=False)
    name, read = read_extractor(listed, tmp_path)
    assert (name, read) == (DINOV2_NAME, weights)
    first, _ = open_extractors({name: read}, False, 32, labelled((1, 8, 8), (-1.0, 1.0), 256, ()), CPU)
    assert (first.names.distance, first.names.kernel, first.names.score) == ("fd_dinov2", "kd_dinov2", None)
    assert first.identity()["sha256"] == sha256_bytes(weights)
    seen = extract(first, np.zeros((2, 1, 8, 8), np.uint8), 2, CPU, "x")
    assert (seen.features.shape, seen.logits.shape) == ((2, 128), (2, 0))
    with pytest.raises(DataError, match="path of dinov2_vits14 must name a file, there is none at"):
        read_extractor(replace(listed, path="absent.pth"), tmp_path)


def test_one_dinov2_may_be_listed() -> None:
    one = ExtractorFile(kind="dinov2_vits14", path=None, sha256="0" * 64, download=False)
    with pytest.raises(ParamsError, match="extractors: must be a list with inception at most once, and one DINOv2"):
        replace(REFERENCE, extractors=(one, replace(one, kind="dinov2_vitb14_reg")))
    with pytest.raises(ParamsError, match="kind"):
        parse(ReferenceConfig, {"extractors": [{"kind": "dino"}]}, "reference")
