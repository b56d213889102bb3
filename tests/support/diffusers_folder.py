"""A folder as diffusers writes one, without diffusers: one level, one block, names written out by hand."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

UNET: dict[str, Any] = {
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.42.1",
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ["AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D"],
    "block_out_channels": [4, 8],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 2,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 100,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
}


def _layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _block(name: str, before: int, after: int, *, skip: bool = True) -> dict[str, tuple[int, ...]]:
    return {
        **_layer(f"{name}.norm1", before),
        **_layer(f"{name}.conv1", after, before, 3, 3),
        **_layer(f"{name}.time_emb_proj", after, 16),
        **_layer(f"{name}.norm2", after),
        **_layer(f"{name}.conv2", after, after, 3, 3),
        **(_layer(f"{name}.conv_shortcut", after, before, 1, 1) if skip else {}),
    }


def _attention(name: str, width: int) -> dict[str, tuple[int, ...]]:
    maps = ("to_q", "to_k", "to_v", "to_out.0")
    each = [_layer(f"{name}.{part}", width, width) for part in maps]
    return {**_layer(f"{name}.group_norm", width), **{key: shape for part in each for key, shape in part.items()}}


SHAPES: dict[str, tuple[int, ...]] = {
    **_layer("conv_in", 4, 1, 3, 3),
    **_layer("time_embedding.linear_1", 16, 4),
    **_layer("time_embedding.linear_2", 16, 16),
    **_block("down_blocks.0.resnets.0", 4, 4, skip=False),
    **_attention("down_blocks.0.attentions.0", 4),
    **_layer("down_blocks.0.downsamplers.0.conv", 4, 4, 3, 3),
    **_block("down_blocks.1.resnets.0", 4, 8),
    **_block("mid_block.resnets.0", 8, 8, skip=False),
    **_attention("mid_block.attentions.0", 8),
    **_block("mid_block.resnets.1", 8, 8, skip=False),
    **_block("up_blocks.0.resnets.0", 16, 8),
    **_block("up_blocks.0.resnets.1", 12, 8),
    **_layer("up_blocks.0.upsamplers.0.conv", 8, 8, 3, 3),
    **_block("up_blocks.1.resnets.0", 12, 4),
    **_attention("up_blocks.1.attentions.0", 4),
    **_block("up_blocks.1.resnets.1", 8, 4),
    **_attention("up_blocks.1.attentions.1", 4),
    **_layer("conv_norm_out", 4),
    **_layer("conv_out", 1, 4, 3, 3),
}


def tensors() -> dict[str, Tensor]:
    """Random values for every tensor of UNET."""
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw) / 4 for name, shape in SHAPES.items()}


def write_folder(
    folder: Path,
    weights: dict[str, Tensor] | None = None,
    unet: dict[str, Any] | None = None,
    scheduler: dict[str, Any] | None = None,
) -> Path:
    """UNET and SCHEDULER, changed by these keys."""
    for part, name, content in (
        ("unet", "config.json", {**UNET, **(unet or {})}),
        ("scheduler", "scheduler_config.json", {**SCHEDULER, **(scheduler or {})}),
    ):
        (folder / part).mkdir(parents=True)
        (folder / part / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}', encoding="utf-8")
    save_file(tensors() if weights is None else weights, folder / "unet" / "diffusion_pytorch_model.safetensors")
    return folder
