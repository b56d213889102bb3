"""A checkpoint of denoising-diffusion-pytorch: where its weights lie, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.models.linear_attention_unet_config import LinearAttentionUNetConfig
from ddpm_core.spec import labelled
from pipelines.interchange.denoising_diffusion import places, read_denoising_diffusion, states
from pipelines.interchange.model import ImportOptions

FLAGS: dict[str, Any] = {
    "image_size": 8,
    "dim": 8,
    "dim_mults": [1, 2],
    "timesteps": 100,
    "objective": "pred_noise",
    "beta_schedule": "cosine",
    "attn_dim_head": 4,
    "attn_heads": 2,
}
CONFIG = LinearAttentionUNetConfig("linear_attention_unet", 8, 8, (1, 2), (1,), (2, 2), (4, 4), 4, 0.0)


def unet() -> dict[str, Tensor]:
    """The state of their Unet with these flags."""
    state = CONFIG.build(labelled((1, 8, 8), (-1.0, 1.0), 256, ()), False).state_dict()
    draw = torch.Generator().manual_seed(0)
    return {place.theirs[0]: torch.randn(state[place.ours].shape, generator=draw) for place in places(CONFIG)}


def test_every_tensor_has_its_place(tmp_path: Path) -> None:
    given = unet()
    save_file(given, tmp_path / "unet.safetensors")
    model = read_denoising_diffusion(tmp_path / "unet.safetensors", FLAGS, ImportOptions())
    assert model.network == CONFIG
    assert (model.diffusion.target, model.spec.shape, model.bound) == ("eps", (1, 8, 8), "clip")
    for ours, theirs in {
        "down.0.change.weight": "downs.0.3.1.weight",
        "down.1.change.weight": "downs.1.3.weight",
        "up.0.change.bias": "ups.0.3.1.bias",
        "down.0.attention.out_norm.scale": "downs.0.2.to_out.1.g",
        "middle_attention.memory": "mid_attn.mem_kv",
        "last.norm2.scale": "final_res_block.block2.norm.g",
    }.items():
        assert torch.equal(model.weights[ours], given[theirs]), ours


def test_the_averages_are_taken_before_the_last_weights() -> None:
    last, average = {"init_conv.weight": torch.zeros(1)}, {"init_conv.weight": torch.ones(1)}
    whole = {f"model.{name}": value for name, value in average.items()} | {"alphas_cumprod": torch.ones(2)}
    kept = {f"ema_model.{name}": value for name, value in whole.items()}
    kept |= {f"online_model.model.{name}": value for name, value in last.items()}
    for content in (kept, whole, average, {"model": last, "ema": kept}, {"model": whole, "step": 3}):
        _, found = states(content, Path("model.pt"))
        assert found.keys() == average.keys()
        assert torch.equal(found["init_conv.weight"], torch.ones(1))
    assert "alphas_cumprod" in states(kept, Path("model.pt"))[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("objective", "pred_flow"),
        ("beta_schedule", "sqrt"),
        ("auto_normalize", False),
        ("self_condition", True),
        ("attn_heads", [1]),
    ],
)
def test_flags_that_cannot_be_expressed_are_refused_by_name(key: str, value: Any, tmp_path: Path) -> None:
    save_file(unet(), tmp_path / "unet.safetensors")
    with pytest.raises(ParamsError, match=key.removeprefix("attn_")):
        read_denoising_diffusion(tmp_path / "unet.safetensors", {**FLAGS, key: value}, ImportOptions())


def test_what_lacks_or_contradicts_is_named(tmp_path: Path) -> None:
    file = tmp_path / "unet.safetensors"
    save_file({f"model.{key}": value for key, value in unet().items()} | {"alphas_cumprod": torch.ones(100)}, file)
    with pytest.raises(ParamsError, match="alphas_cumprod"):
        read_denoising_diffusion(file, FLAGS, ImportOptions())
    save_file({key: value for key, value in unet().items() if key != "init_conv.bias"}, file)
    with pytest.raises(IntegrityError, match=r"missing init_conv\.bias"):
        read_denoising_diffusion(file, FLAGS, ImportOptions())
    with pytest.raises(ParamsError, match="timesteps must be given"):
        read_denoising_diffusion(file, {key: FLAGS[key] for key in FLAGS if key != "timesteps"}, ImportOptions())
    save_file({"a": torch.ones(1)}, file)
    with pytest.raises(IntegrityError, match=r"init_conv\.weight"):
        read_denoising_diffusion(file, FLAGS, ImportOptions())
