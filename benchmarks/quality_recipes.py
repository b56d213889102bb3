"""Who takes part in benchmarks/time_to_quality.py, by name: ours, ours with one choice taken back, and the peers."""

from pathlib import Path
from typing import Any

import torch
from quality_sides import DenoisingDiffusion, Diffusers, Ours, Recipe, Side

from ddpm_core.diffusion.schedules import Linear
from ddpm_core.training.config import AdamW

OURS = "ours"
LINEAR = Linear(kind="linear", T=1000, beta_start=1e-4, beta_end=0.02, scale_ends=False, zero_terminal_snr=False)
ADAMW = AdamW(kind="adamw", betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    OURS: {},
    "ours, without labels": {"train": {"conditioning": "none"}},
    "ours, patch 1": {"model": {"patch": 1}},
    "ours, eps": {"diffusion": {"target": "eps"}},
    "ours, linear": {"diffusion": {"schedule": LINEAR}},
    "ours, AdamW": {"train": {"optimiser": ADAMW}},
    "ours, fp32": {"train": {"precision": "fp32"}},
}
ABLATION = tuple(name for name in CHANGES if name not in (OURS, "ours, without labels"))
BRIEF = {"warmup_steps": 30, "ema_decay": 0.98}
SMALL_BATCHES = {"lr": 1.4e-3, "warmup_steps": 50, "ema_decay": 0.985}
PLANNED: dict[str, dict[str, dict[str, Any]]] = {
    "ours, planned for 200 updates": {"train": {"steps": 200, **BRIEF}},
    "ours, planned for 240 updates": {"train": {"steps": 240, **BRIEF}},
    "ours, refine 16, planned for 200 updates": {"model": {"refine": 16}, "train": {"steps": 200, **BRIEF}},
    "ours, batches of 32, planned for 380 updates": {"train": {"batch_size": 32, "steps": 380, **SMALL_BATCHES}},
    "ours, one block, batches of 32, planned for 480 updates": {
        "model": {"blocks": 1},
        "train": {"batch_size": 32, "steps": 480, **SMALL_BATCHES},
    },
    "ours, batches of 16, planned for 560 updates": {"train": {"batch_size": 16, "steps": 560, **SMALL_BATCHES}},
}
"""Trainings whose rate falls to 0 early, also with the branch at full size, smaller batches or fewer blocks."""


def diffusers_network(side: int, widths: tuple[int, ...], attends: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """Settings of UNet2DModel with attention at these levels."""
    levels = range(len(widths))
    return {
        "sample_size": side,
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 2,
        "block_out_channels": widths,
        "down_block_types": ["AttnDownBlock2D" if level in attends else "DownBlock2D" for level in levels],
        "up_block_types": ["AttnUpBlock2D" if level in attends else "UpBlock2D" for level in reversed(levels)],
        **more,
    }


SMALL: dict[str, Any] = {"padding": 0, "warmup": 100, "betas": (0.9, 0.99), "weight_decay": 0.0}
COSINE_V = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
HEADS = {"norm_num_groups": 8, "attention_head_dim": 16}
FEW_HEADS = {"attn_heads": 2, "attn_dim_head": 16}
PEERS: dict[str, tuple[type[Diffusers] | type[DenoisingDiffusion], Recipe]] = {
    "diffusers, its settings": (
        Diffusers,
        Recipe(16, 1e-4, diffusers_network(32, (128, 128, 256, 256, 512, 512), (4,)), sampled_in=torch.bfloat16),
    ),
    "diffusers, tuned, 16 channels": (
        Diffusers,
        Recipe(32, 2e-3, diffusers_network(28, (16, 32, 64), (2,), **HEADS), steps=1180, process=COSINE_V, **SMALL),
    ),
    "diffusers, tuned, 32 channels": (
        Diffusers,
        Recipe(
            32,
            2e-3,
            diffusers_network(28, (32, 64, 64), (2,), layers_per_block=1, **HEADS),
            steps=1400,
            process=COSINE_V,
            **SMALL,
        ),
    ),
    "denoising-diffusion, its settings": (
        DenoisingDiffusion,
        Recipe(
            32,
            8e-5,
            {"dim": 64, "dim_mults": (1, 2, 4, 8)},
            betas=(0.9, 0.99),
            warmup=0,
            steps=700_000,
            parts=2,
            sampled_in=torch.bfloat16,
        ),
    ),
    "denoising-diffusion, tuned, 16 channels": (
        DenoisingDiffusion,
        Recipe(32, 2e-3, {"dim": 16, "dim_mults": (1, 2, 4), **FEW_HEADS}, steps=1150, **SMALL),
    ),
    "denoising-diffusion, tuned, 32 channels": (
        DenoisingDiffusion,
        Recipe(32, 2e-3, {"dim": 32, "dim_mults": (1, 2, 2), **FEW_HEADS}, steps=800, **SMALL),
    ),
}
TRIES = tuple(
    tuple(name for name in PEERS if name.startswith(f"{peer}, tuned")) for peer in ("diffusers", "denoising-diffusion")
)
"""Of each of these groups the one that is nearest when all were judged once goes on, and the others stop."""
NAMES = (*CHANGES, *PLANNED, *PEERS)


def build(name: str, project: Path, folder: Path, images: Any, seed: int) -> Side:
    if name not in PEERS:
        changes = (CHANGES | PLANNED)[name]
        return Ours(project, folder, {**changes, "train": {**changes.get("train", {}), "seed": seed}})
    kind, recipe = PEERS[name]
    return kind(recipe, images)
