"""The same network twice: our UNet and diffusers' UNet2DModel, of one configuration."""

from dataclasses import replace
from typing import Any

from ddpm_core.models.config import UNetConfig

Shape = tuple[int, int, int]

CIFAR10_DDPM = UNetConfig(
    kind="unet",
    patch=1,
    channels=128,
    multipliers=(1, 2, 2, 2),
    blocks=2,
    attention_levels=(1,),
    heads=1,
    norm_groups=32,
    dropout=0.0,
    scale_shift=False,
    resblock_updown=False,
    refine=0,
)
"""Ho et al. 2020 at 3 x 32 x 32: 35,746,307 parameters (without dropout, so that both sides compute the same)."""
SMALL = replace(CIFAR10_DDPM, channels=32, multipliers=(1, 2, 2), heads=8)
"""1,623,169 parameters at 1 x 28 x 28."""
NETWORKS: dict[str, tuple[UNetConfig, Shape]] = {"small": (SMALL, (1, 28, 28)), "big": (CIFAR10_DDPM, (3, 32, 32))}


def our_network(config: UNetConfig, shape: Shape, classes: int = 0) -> Any:
    from ddpm_core.models.unet import UNet

    return UNet(config, shape, classes, learned_variance=False)


def diffusers_network(config: UNetConfig, shape: Shape, classes: int = 0, **options: Any) -> Any:
    """UNet2DModel of the same configuration: sine before cosine, halved with padding on both sides, eps 1e-5."""
    from diffusers import UNet2DModel

    if config.patch != 1 or config.resblock_updown:
        raise ValueError(f"UNet2DModel has no patches, and its blocks do not halve: {config}")
    levels = range(len(config.multipliers))
    widths = [config.channels * multiplier for multiplier in config.multipliers]
    attended = [level in config.attention_levels for level in levels]
    head_widths = {widths[level] // config.heads for level in [*config.attention_levels, levels[-1]]}
    if len(head_widths) > 1:
        raise ValueError(f"UNet2DModel has heads of one width, these would have {sorted(head_widths)}: {config}")
    settings = {
        "sample_size": shape[1],
        "in_channels": shape[0],
        "out_channels": shape[0],
        "block_out_channels": widths,
        "layers_per_block": config.blocks,
        "down_block_types": ["AttnDownBlock2D" if attends else "DownBlock2D" for attends in attended],
        "up_block_types": ["AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attended)],
        "attention_head_dim": head_widths.pop(),
        "norm_num_groups": config.norm_groups,
        "attn_norm_num_groups": config.norm_groups,  # else its middle attention has no norm where scale_shift is set
        "dropout": config.dropout,
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift else "default",
        "num_class_embeds": classes + 1 if classes else None,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "downsample_padding": 1,
        "norm_eps": 1e-5,
    }
    return UNet2DModel(**{**settings, **options})
