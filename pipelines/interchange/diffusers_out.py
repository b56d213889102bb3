"""A bundle's U-Net and process as a folder that diffusers' DDPMPipeline.from_pretrained reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from ddpm_core.bundle.format import Bundle
from ddpm_core.bundle.graph_weights import weights_of
from ddpm_core.errors import ParamsError
from ddpm_core.files import atomic_folder, json_bytes
from ddpm_core.models import ModelConfig
from ddpm_core.models.imported_unet_config import ImportedUNetConfig
from ddpm_core.models.unet_config import UNetConfig
from pipelines.interchange.diffusers import DEFAULTS, WEIGHTS, outline_of
from pipelines.interchange.scheduler import scheduler_of
from pipelines.interchange.tensors import taken_apart
from pipelines.interchange.unet_places import diffusers_places
from pipelines.parsing import parse_kept


@dataclass(frozen=True)
class Equivalent:
    """The network of a bundle as `imported_unet`: one that numbers the levels from 0, as diffusers does."""

    config: ImportedUNetConfig
    weights: Mapping[str, Tensor]

    def answer(self, bundle: Bundle, x: Any, t: Any, cond: Mapping[str, Any]) -> Any:
        """What it answers at our levels t, to be compared with the bundle's graph."""
        net = self.config.build(bundle.spec, bundle.learned_variance).eval()
        net.load_state_dict(dict(self.weights))
        with torch.no_grad():
            told = {name: torch.from_numpy(value) for name, value in cond.items()}
            return net(torch.from_numpy(x), torch.from_numpy(t), **told).numpy()


def equivalent(bundle: Bundle) -> Equivalent:
    """The network in diffusers' terms; a ParamsError names what UNet2DModel cannot express."""
    told, weights = bundle.provenance.get("model"), weights_of(bundle.contents.values())
    if told is None or weights is None:
        raise ParamsError(
            "bundle: must tell its network and which weight is which, but it lacks them (an older version made it, or "
            "another program); make it again with `ddpm export`"
        )
    config: ModelConfig = parse_kept(ModelConfig, told, "bundle.json: provenance.model")
    if isinstance(config, ImportedUNetConfig):
        return Equivalent(config, weights)
    if not isinstance(config, UNetConfig):
        raise ParamsError(f"model.kind: must be unet or imported_unet to go to diffusers, got {config.kind}")
    faults = [
        f"{key} must be {wanted!r}, got {getattr(config, key)!r}"
        for key, wanted in (("patch", 1), ("refine", 0))
        if getattr(config, key) != wanted
    ]
    if faults:
        raise ParamsError(f"model: UNet2DModel has no patches of pixels: {'; '.join(faults)}")
    if attributes := ", ".join(bundle.spec.attributes):
        raise ParamsError(f"data: UNet2DModel is told a class or nothing, and this model is told {attributes} too")
    levels = range(len(config.multipliers))
    same = ImportedUNetConfig(
        kind="imported_unet",
        widths=tuple(config.channels * each for each in config.multipliers),
        blocks=config.blocks,
        attention_levels=config.attention_levels,
        resblock_levels=tuple(levels) if config.resblock_updown else (),
        heads=(config.heads,) * len(levels),
        norm_groups=config.norm_groups,
        norm_eps=1e-5,
        middle_norm_groups=config.norm_groups,
        dropout=config.dropout,
        scale_shift=config.scale_shift,
        padding="both",
        cosines_first=False,
        frequency_shift=1.0,
        time_scale=1.0,
    )
    return Equivalent(same, {**weights, "time.0.weight": _told_one_less(weights["time.0.weight"])})


def _told_one_less(weight: Tensor) -> Tensor:
    """The first layer of the time's embedding for a time that is told as t - 1.

    sin(w t) = sin(w (t - 1)) cos w + cos(w (t - 1)) sin w, and likewise the cosine: a rotation of each pair of columns.
    """
    of_sines, of_cosines = weight.double().chunk(2, dim=1)
    half = of_sines.shape[1]
    w = torch.exp(torch.arange(half, dtype=torch.float64) * (-np.log(10000.0) / (half - 1)))
    return torch.cat([of_sines * w.cos() - of_cosines * w.sin(), of_sines * w.sin() + of_cosines * w.cos()], 1).float()


def write_diffusers(bundle: Bundle, network: Equivalent, folder: Path) -> None:
    """model_index.json, unet/ and scheduler/, written at once."""
    config, spec = network.config, bundle.spec
    if spec.range != (-1.0, 1.0):
        raise ParamsError(f"data: must be shown from -1 to 1 to go to diffusers, got {spec.range}")
    weights = dict(network.weights)
    rows = weights.get("label.weight")
    if rows is not None and not rows[-1].any():  # a row for no class that the import has added
        weights["label.weight"] = rows = rows[:-1]
    told = unet_config(config, bundle, 0 if rows is None else len(rows))
    scheduler = scheduler_of(bundle)
    tensors = taken_apart(diffusers_places(outline_of(config, classes=rows is not None)), weights)
    index = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    with atomic_folder(folder) as temporary:
        for name in ("unet", "scheduler"):
            (temporary / name).mkdir()
        (temporary / "model_index.json").write_bytes(json_bytes({"_class_name": "DDPMPipeline", **index}))
        (temporary / "unet" / "config.json").write_bytes(json_bytes(told))
        (temporary / "unet" / f"{WEIGHTS}.safetensors").write_bytes(save(tensors, {"format": "pt"}))
        (temporary / "scheduler" / "scheduler_config.json").write_bytes(json_bytes(scheduler))


def unet_config(config: ImportedUNetConfig, bundle: Bundle, class_rows: int) -> dict[str, Any]:
    """config.json of a UNet2DModel."""
    levels = range(len(config.widths))
    attended = sorted(config.attention_levels)
    heads = {config.widths[level] // config.heads[level] for level in (*attended, levels[-1])}
    one_head = all(config.heads[level] == 1 for level in (*attended, levels[-1]))
    faults = [] if one_head or len(heads) == 1 else [f"attention heads must have one width, got {sorted(heads)}"]
    if config.time_scale != 1:
        faults.append(f"time_scale must be 1, got {config.time_scale:g}")
    # A block without attention halves by a convolution there, whatever is asked; where there is one level, none does.
    in_blocks = bool(config.resblock_levels) and len(levels) > 1
    if in_blocks and set(config.resblock_levels) != set(attended):
        faults.append(
            f"the levels whose residual blocks halve must be those with attention, {attended}, got "
            f"{sorted(config.resblock_levels)}"
        )
    if not (config.middle_norm_groups or config.scale_shift):
        faults.append("middle_norm_groups must be above 0 without scale_shift, got 0")
    if faults:
        raise ParamsError(f"model: UNet2DModel cannot express it: {'; '.join(faults)}")
    kinds = ["AttnDownBlock2D" if level in attended else "DownBlock2D" for level in levels]
    usual = 0 if config.scale_shift else config.norm_groups
    _, height, width = bundle.spec.shape
    return {
        **DEFAULTS,
        "_class_name": "UNet2DModel",
        "sample_size": height if height == width else [height, width],
        "in_channels": bundle.spec.channels,
        "out_channels": bundle.spec.channels * (2 if bundle.learned_variance else 1),
        "freq_shift": int(config.frequency_shift) if config.frequency_shift in (0, 1) else config.frequency_shift,
        "flip_sin_to_cos": config.cosines_first,
        "down_block_types": kinds,
        "up_block_types": [kind.replace("Down", "Up") for kind in reversed(kinds)],
        "block_out_channels": list(config.widths),
        "layers_per_block": config.blocks,
        "downsample_padding": 0 if config.padding == "end" else 1,
        "downsample_type": "resnet" if in_blocks else "conv",
        "upsample_type": "resnet" if in_blocks else "conv",
        "dropout": config.dropout,
        "attention_head_dim": None if one_head else heads.pop(),
        "norm_num_groups": config.norm_groups,
        "attn_norm_num_groups": config.middle_norm_groups if config.middle_norm_groups != usual else None,
        "norm_eps": config.norm_eps,
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift else "default",
        "num_class_embeds": class_rows or None,
    }
