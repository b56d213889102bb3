"""A model of diffusers answers the same once imported, and one of ours the same once it is a folder of theirs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.noise import step_noise
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.models.config import UNetConfig
from ddpm_core.spec import labelled
from pipelines.cli import main
from pipelines.commands.import_model import sample_config, write
from pipelines.interchange.diffusers import read_diffusers
from pipelines.interchange.diffusers_out import Equivalent, write_diffusers
from pipelines.interchange.model import Imported, ImportOptions
from pipelines.interchange.scheduler import diffusion_config
from pipelines.sampling.bundle_sampler import Sampler
from tests.peers.peer import peer

diffusers = peer("diffusers")

BASE: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (16, 24, 32),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
}
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "its defaults": ({}, {}),
    "the published DDPM": (
        {
            "downsample_padding": 0,
            "norm_eps": 1e-6,
            "flip_sin_to_cos": False,
            "freq_shift": 1,
            "attention_head_dim": None,
        },
        {"variance_type": "fixed_large"},
    ),
    "scale and shift, blocks that halve": (
        {"resnet_time_scale_shift": "scale_shift", "downsample_type": "resnet", "upsample_type": "resnet"},
        {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"},
    ),
    "a norm in the middle after all": ({"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 4}, {}),
    "classes, a learned variance, not square": (
        {"num_class_embeds": 5, "out_channels": 6, "sample_size": (8, 12)},
        {"variance_type": "learned_range", "beta_schedule": "scaled_linear", "prediction_type": "sample"},
    ),
}


def pipeline(folder: Path, network: dict[str, Any], scheduler: dict[str, Any]) -> Any:
    """One of theirs, with every weight drawn: what starts at zero or one hides what is done with it."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(**{**BASE, **network}).eval()
    for parameter in unet.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.2)
    made = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(**scheduler))
    made.save_pretrained(folder)
    return made


def plain(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_network_answers_as_theirs(name: str, tmp_path: Path) -> None:
    network, scheduler = NETWORKS[name]
    theirs = pipeline(tmp_path, network, scheduler)
    imported = read_diffusers(tmp_path, ImportOptions())
    mine = imported.network.build(imported.spec, imported.diffusion.learned_variance).eval()
    mine.load_state_dict(dict(imported.weights))
    x, t = torch.randn(3, *imported.spec.shape), torch.tensor([0, 400, 999])
    label = torch.tensor([0, 4, 2]) if imported.spec.classes else None
    with torch.no_grad():
        expected = theirs.unet(x, t, class_labels=label).sample
        found = mine(x, t + 1.0) if label is None else mine(x, t + 1.0, label)
    assert float(expected.abs().max()) > 0.1
    assert difference(found, expected) <= 1e-5
    alpha_bar = imported.diffusion.parameterisation().schedule.alpha_bar[1:]
    assert np.abs(alpha_bar - theirs.scheduler.alphas_cumprod.numpy()).max() < 1e-6


def test_the_bundle_samples_as_their_ddim_does(tmp_path: Path) -> None:
    theirs = pipeline(
        tmp_path / "theirs", {}, {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"}
    )
    imported = read_diffusers(tmp_path / "theirs", ImportOptions())
    write(imported, sample_config("ddim", 10, imported), tmp_path / "bundle")
    sampler = Sampler.open(tmp_path / "bundle", "cpu")
    recipe = sampler.recipe()
    found = sampler.sample(recipe, [0, 1], {})
    # Their timestep i is our level i + 1.
    ddim = diffusers.DDIMScheduler.from_config(theirs.scheduler.config, timestep_spacing="trailing")
    ddim.set_timesteps(10)
    x = torch.from_numpy(step_noise([0, 1], 0, imported.spec.shape))
    for t in ddim.timesteps:
        with torch.no_grad():
            out = theirs.unet(x, t).sample
            x = ddim.step(out, t, x, use_clipped_model_output=True).prev_sample
    expected = imported.spec.decode(x.numpy())
    assert expected.std() > 20
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("name", list(NETWORKS))
def test_an_imported_model_goes_back_as_it_came(name: str, tmp_path: Path) -> None:
    network, scheduler = NETWORKS[name]
    theirs = pipeline(tmp_path / "theirs", network, scheduler)
    imported = read_diffusers(tmp_path / "theirs", ImportOptions())
    process, sample = imported.diffusion, asdict(sample_config("ddim", 10, imported))
    schedule = process.parameterisation().schedule
    bundle = Bundle(imported.spec, schedule, process.target, process.variance, sample, None, {}, b"")
    write_diffusers(bundle, Equivalent(imported.network, imported.weights), tmp_path / "back")
    back = diffusers.DDPMPipeline.from_pretrained(tmp_path / "back")
    mine, its = back.unet.state_dict(), theirs.unet.state_dict()
    assert set(mine) == set(its)
    assert all(torch.equal(mine[key], its[key]) for key in its)
    mine, its = (plain(json.loads(each.unet.to_json_string())) for each in (back, theirs))
    assert mine == its


def test_our_network_answers_the_same_as_a_folder_of_theirs(tmp_path: Path) -> None:
    config = UNetConfig("unet", 1, 16, (1, 2), 1, (1,), 2, 8, 0.0, True, False, 0)
    spec = labelled((1, 8, 8), (-1.0, 1.0), 256, ())
    torch.manual_seed(0)
    net = config.build(spec, learned_variance=False).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2)
    diffusion = diffusion_config(Cosine("cosine", 1000, 0.008, 0.999, False), "v", "fixed_small")
    model = Imported(config, diffusion, spec, "clip", net.state_dict(), {"layout": "ours"})
    write(model, sample_config("ddim", 4, model), tmp_path / "bundle")
    assert main(["bundle", "diffusers", str(tmp_path / "out"), "--bundle", str(tmp_path / "bundle")]) == 0
    theirs = diffusers.DDPMPipeline.from_pretrained(tmp_path / "out")
    x, t = torch.randn(4, *spec.shape), torch.tensor([1, 30, 640, 1000])
    with torch.no_grad():
        expected, found = net(x, t.float()), theirs.unet(x, t - 1).sample
    assert float(expected.abs().max()) > 0.1
    assert difference(found, expected) <= 1e-5
    assert theirs(num_inference_steps=3, output_type="np").images.shape == (1, 8, 8, 1)
