"""A checkpoint of denoising-diffusion-pytorch answers the same once it is imported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.interchange.denoising_diffusion import read_denoising_diffusion
from pipelines.interchange.model import ImportOptions
from tests.peers.peer import peer

theirs = peer("denoising_diffusion_pytorch")

UNET: dict[str, Any] = {"dim": 16, "dim_mults": (1, 2, 4)}
PROCESS: dict[str, Any] = {"image_size": 16, "timesteps": 1000, "objective": "pred_v", "beta_schedule": "sigmoid"}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "its defaults": ({}, {}),
    "full attention, a stem of its own": (
        {"init_dim": 24, "full_attn": (True, False, True), "attn_heads": (2, 4, 8), "attn_dim_head": (8, 16, 32)},
        {"beta_schedule": "cosine", "objective": "pred_x0"},
    ),
    "linear": ({}, {"beta_schedule": "linear", "objective": "pred_noise", "timesteps": 250}),
}


def trained(unet: dict[str, Any], process: dict[str, Any]) -> Any:
    """One of theirs with every weight drawn."""
    torch.manual_seed(0)
    model = theirs.GaussianDiffusion(theirs.Unet(**{**UNET, **unet}), **{**PROCESS, **process}).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("name", list(VARIANTS))
def test_the_network_answers_as_theirs(name: str, tmp_path: Path) -> None:
    unet, process = VARIANTS[name]
    model = trained(unet, process)
    other = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    averages = {"step": torch.tensor(1), **{f"ema_model.{key}": value for key, value in model.state_dict().items()}}
    torch.save({"step": 1, "model": other, "opt": {}, "ema": averages, "version": "2"}, tmp_path / "model-1.pt")
    flags = {**UNET, **PROCESS, **unet, **process}
    imported = read_denoising_diffusion(tmp_path / "model-1.pt", flags, ImportOptions(pickle=True))
    net = imported.network.build(imported.spec, False).eval()
    net.load_state_dict(dict(imported.weights))
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([0, 100, 249])
    with torch.no_grad():
        expected, found = model.model(x, t), net(x, t + 1.0)
    assert float(expected.abs().max()) > 0.1
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5
    alpha_bar = imported.diffusion.parameterisation().schedule.alpha_bar[1:]
    assert np.abs(alpha_bar - model.alphas_cumprod.numpy()).max() < 1e-6
