"""A folder of diffusers is read by its names and refused by name; what goes back is what came."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.schedules import Cosine, Linear, Quadratic, Sigmoid
from ddpm_core.errors import IntegrityError, ParamsError
from pipelines.commands.import_model import sample_config
from pipelines.interchange.diffusers import read_diffusers, read_json
from pipelines.interchange.diffusers_out import Equivalent, write_diffusers
from pipelines.interchange.model import Imported, ImportOptions
from pipelines.interchange.scheduler import process_of, scheduler_of
from pipelines.interchange.tensors import read_tensors
from tests.support.diffusers_folder import SCHEDULER, UNET, tensors, write_folder


def bundle_of(model: Imported, **changes: Any) -> Bundle:
    """A bundle without a graph."""
    schedule = model.diffusion.parameterisation().schedule
    sample = {"sampler": {"bound": model.bound}}
    content = {"spec": model.spec, "schedule": schedule, "target": model.diffusion.target, "variance": "fixed_small"}
    return Bundle(**{**content, "sample": sample, "golden": None, "provenance": {}, "model": b"", **changes})


def test_every_tensor_has_its_place(tmp_path: Path) -> None:
    model, given = read_diffusers(write_folder(tmp_path), ImportOptions()), tensors()
    net = model.network.build(model.spec, False)
    net.load_state_dict(dict(model.weights))  # strict: no tensor lacks and none is left over
    attention = "down_blocks.0.attentions.0"
    rows = torch.cat([given[f"{attention}.{each}.weight"] for each in ("to_q", "to_k", "to_v")])
    assert torch.equal(model.weights["down.0.attention.qkv.weight"], rows[:, :, None, None])
    for ours, theirs in {
        "time.0.weight": "time_embedding.linear_1.weight",
        "down.1.conv.bias": "down_blocks.0.downsamplers.0.conv.bias",
        "down.2.block.skip.weight": "down_blocks.1.resnets.0.conv_shortcut.weight",
        "middle.1.block.conv2.weight": "mid_block.resnets.1.conv2.weight",
        "up.2.conv.weight": "up_blocks.0.upsamplers.0.conv.weight",
        "up.4.block.embed.bias": "up_blocks.1.resnets.1.time_emb_proj.bias",
    }.items():
        assert torch.equal(model.weights[ours], given[theirs]), ours


def test_the_first_level_is_told_as_time_0(tmp_path: Path) -> None:
    model = read_diffusers(write_folder(tmp_path), ImportOptions())
    net = model.network.build(model.spec, False)
    told: list[torch.Tensor] = []
    net.time.register_forward_pre_hook(lambda _, given: told.append(given[0]))
    net(torch.zeros(2, 1, 8, 8), torch.tensor([1.0, 8.0]))
    # Cosines first; two frequencies, 1 and 10000^(-1/2).
    expected = [[1, 1, 0, 0], [np.cos(7), np.cos(0.07), np.sin(7), np.sin(0.07)]]
    assert np.allclose(told[0].numpy(), expected, atol=1e-6)


def test_attention_may_have_its_names_of_before_and_the_weights_half_precision(tmp_path: Path) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in tensors().items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        renamed[name] = tensor.half()
    model = read_diffusers(write_folder(tmp_path / "old", renamed), ImportOptions())
    now = read_diffusers(write_folder(tmp_path / "new"), ImportOptions())
    assert all(torch.allclose(model.weights[name], now.weights[name], atol=1e-3) for name in now.weights)
    assert {tensor.dtype for tensor in model.weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda given: given.pop("conv_in.bias"), "missing conv_in.bias"),
        (lambda given: given.update(other=torch.ones(1)), "unknown other"),
        (lambda given: given.update({"conv_out.bias": torch.ones(3)}), r"of another shape conv_out.bias \(3,\)"),
        (lambda given: given["conv_out.bias"].fill_(torch.inf), "finite.*conv_out.bias"),
    ],
    ids=["missing", "extra", "shape", "not finite"],
)
def test_a_tensor_that_does_not_fit_is_named(damage: Any, named: str, tmp_path: Path) -> None:
    given = tensors()
    damage(given)
    with pytest.raises(IntegrityError, match=named):
        read_diffusers(write_folder(tmp_path, given), ImportOptions())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "UNet2DConditionModel"),
        ("time_embedding_type", "fourier"),
        ("act_fn", "gelu"),
        ("mid_block_type", None),
        ("center_input_sample", True),
        ("class_embed_type", "timestep"),
        ("out_channels", 2),
        ("upsample_type", "resnet"),
        ("time_embedding_dim", 32),
        ("down_block_types", ["SkipDownBlock2D", "DownBlock2D"]),
        ("up_block_types", ["AttnUpBlock2D", "UpBlock2D"]),
        ("attention_head_dim", 3),
        ("norm_num_groups", 3),
        ("something_new", 1),
        ("sample_size", None),
    ],
)
def test_a_network_that_cannot_be_expressed_is_refused_by_its_key(key: str, value: Any, tmp_path: Path) -> None:
    named = "norm_groups" if key == "norm_num_groups" else key
    with pytest.raises(ParamsError, match=named):
        read_diffusers(write_folder(tmp_path, unet={key: value}), ImportOptions())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "EDMEulerScheduler"),
        ("beta_schedule", "sigmoid"),
        ("prediction_type", "flow"),
        ("variance_type", "learned"),
        ("trained_betas", [0.1, 0.2]),
        ("clip_sample_range", 2.0),
    ],
)
def test_a_process_that_cannot_be_expressed_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=key):
        process_of({**SCHEDULER, key: value}, "scheduler_config.json")


def test_a_target_that_does_not_fit_the_schedule_is_refused() -> None:
    with pytest.raises(ParamsError, match="target eps"):
        process_of({**SCHEDULER, "prediction_type": "epsilon", "rescale_betas_zero_snr": True}, "")


def test_a_scheduler_says_schedule_target_variance_and_bound() -> None:
    config, bound = process_of({"_class_name": "DDPMScheduler", "variance_type": "fixed_large"}, "")
    assert config.schedule == Linear("linear", 1000, 1e-4, 0.02, False, False)
    assert (config.target, config.variance, bound) == ("eps", "fixed_large", "clip")
    plain = {"_class_name": "DDPMScheduler", "beta_schedule": "scaled_linear", "clip_sample": False}
    config, bound = process_of(plain, "")
    assert config.schedule == Quadratic("quadratic", 1000, 1e-4, 0.02, False, False)
    assert bound == "none"
    assert process_of({**SCHEDULER, "thresholding": True}, "")[1] == "dynamic"


@pytest.mark.parametrize(
    "schedule",
    [
        Linear("linear", 200, 1e-4, 0.02, True, False),
        Quadratic("quadratic", 1000, 1e-4, 0.02, False, False),
        Cosine("cosine", 50, 0.008, 0.999, False),
        Sigmoid("sigmoid", 100, -3.0, 3.0, 1.0, 1e-9, False),
    ],
)
def test_a_schedule_goes_by_its_name_there_or_by_its_betas(schedule: Any, tmp_path: Path) -> None:
    model = read_diffusers(write_folder(tmp_path), ImportOptions())
    built = schedule.build()
    told = scheduler_of(bundle_of(model, schedule=built))
    if schedule.kind == "sigmoid":
        assert np.allclose(told["trained_betas"], built.beta[1:])
        return
    config, _ = process_of(told, "")
    assert config.schedule.kind == schedule.kind
    assert told["trained_betas"] is None
    assert np.allclose(config.schedule.build().alpha_bar, built.alpha_bar, atol=1e-9)


def test_a_pickle_is_refused_unless_asked_for_and_then_holds_tensors_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.bin"
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(tensors(), file)
    with pytest.raises(ParamsError, match="--pickle"):
        read_diffusers(folder, ImportOptions())
    assert read_diffusers(folder, ImportOptions(pickle=True)).spec.shape == (1, 8, 8)
    torch.save({"a": Path("code")}, file)
    with pytest.raises(IntegrityError, match="tensors and plain values alone"):
        read_tensors(file, pickle=True)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.json"):
        (tmp_path / name).write_bytes(b"{not")
    with pytest.raises(IntegrityError, match=r"a\.safetensors"):
        read_tensors(tmp_path / "a.safetensors", pickle=False)
    with pytest.raises(IntegrityError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("asked", "names", "zeros"), [(None, ("0", "1", "2"), True), ("2", ("0", "1"), False), ("a, b", ("a", "b"), False)]
)
def test_a_class_embedding_has_a_last_row_for_no_class(
    asked: str | None, names: tuple[str, ...], zeros: bool, tmp_path: Path
) -> None:
    rows = torch.randn(3, 16)
    weights = {**tensors(), "class_embedding.weight": rows}
    folder = write_folder(tmp_path / "given", weights, {"num_class_embeds": 3})
    model = read_diffusers(folder, ImportOptions(classes=asked))
    assert model.spec.classes == names
    assert torch.equal(model.weights["label.weight"], torch.cat([rows, torch.zeros(1, 16)]) if zeros else rows)
    write_diffusers(bundle_of(model), Equivalent(model.network, model.weights), tmp_path / "back")
    assert read_json(tmp_path / "back" / "unet" / "config.json")["num_class_embeds"] == 3


@pytest.mark.parametrize("asked", ["1", "5", "a,a,b", "a,,b"])
def test_other_numbers_of_classes_are_refused(asked: str, tmp_path: Path) -> None:
    weights = {**tensors(), "class_embedding.weight": torch.randn(3, 16)}
    folder = write_folder(tmp_path, weights, {"num_class_embeds": 3})
    with pytest.raises(ParamsError, match="--classes"):
        read_diffusers(folder, ImportOptions(classes=asked))


def test_classes_of_a_model_without_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="--classes"):
        read_diffusers(write_folder(tmp_path), ImportOptions(classes="2"))


def test_what_goes_back_is_what_came(tmp_path: Path) -> None:
    model, given = read_diffusers(write_folder(tmp_path / "given"), ImportOptions()), tensors()
    write_diffusers(bundle_of(model), Equivalent(model.network, model.weights), tmp_path / "back")
    again = read_tensors(tmp_path / "back" / "unet" / "diffusion_pytorch_model.safetensors", pickle=False)
    assert set(again) == set(given)
    assert all(torch.equal(again[name], given[name]) for name in given)
    told = json.loads((tmp_path / "back" / "unet" / "config.json").read_text())
    assert {key: told[key] for key in UNET if not key.startswith("_d")} == {
        key: value for key, value in UNET.items() if not key.startswith("_d")
    }
    assert read_diffusers(tmp_path / "back", ImportOptions()).network == model.network
    assert sample_config("ddim", 5, model).sampler.bound == "clip"
