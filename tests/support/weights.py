"""A weights file of a tiny network that was never trained."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import DataSpec
from tests.support.tiny_bundle import tiny_spec, tiny_unet

DIFFUSION = DiffusionConfig(
    "diffusion",
    Cosine("cosine", 50, 0.008, 0.999, False),
    "v",
    "fixed_small",
    Simple("simple"),
    Uniform("uniform", True),
    0.001,
)


def write_weights(file: Path, seen: DataSpec | None = None, **changes: Any) -> Path:
    from safetensors.torch import save

    spec = seen or tiny_spec()
    net = tiny_unet(spec)
    about = {
        "spec": spec.to_dict(),
        "model": asdict(net.config),
        "diffusion": asdict(DIFFUSION),
        "train_digest": "t" * 64,
        "data_digest": "d" * 64,
        "steps": 7,
        **changes,
    }
    further = {f"ema-0.5/{name}": weight + 1 for name, weight in net.named_parameters()}
    tensors = {**net.state_dict(), **(further if "averages" in changes else {})}
    file.write_bytes(save(tensors, {"ddpm": json.dumps(about, sort_keys=True)}))
    return file
