"""diffusers' DDPM pipelines: the folder of a UNet2DModel and its scheduler, as save_pretrained writes it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import sha256_file
from ddpm_core.models.imported_unet_config import ImportedUNetConfig
from pipelines.interchange.model import Imported, ImportOptions, class_names, fitted, pictures, with_null_row
from pipelines.interchange.scheduler import process_of
from pipelines.interchange.tensors import read_tensors
from pipelines.interchange.unet_places import Outline, diffusers_places

WEIGHTS = "diffusion_pytorch_model"
DEFAULTS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
    "num_train_timesteps": None,
}
"""What UNet2DModel takes where its config.json says nothing."""

ONLY: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "downsample_padding": (0, 1),
    "downsample_type": ("conv", "resnet"),
    "act_fn": ("silu", "swish"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "add_attention": (True,),
    "class_embed_type": (None,),
}
"""The values that `imported_unet` can express."""

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def is_diffusers(path: Path) -> bool:
    """Whether this is a pipeline's or a network's folder."""
    return path.is_dir() and any((path / each).is_file() for each in ("model_index.json", "config.json"))


def read_diffusers(folder: Path, wanted: ImportOptions) -> Imported:
    """The model of a pipeline's folder, or of a network's with scheduler_config.json in or beside it."""
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    told = unet / "config.json"
    scheduler = _scheduler_file(folder, unet)
    content = read_json(told)
    config = checked(content, str(told))
    rows = config["num_class_embeds"] or 0
    names = class_names(wanted.classes, rows)
    size = wanted.size or _size(config["sample_size"], str(told))
    diffusion, bound = process_of(read_json(scheduler), str(scheduler))
    spec = pictures(int(config["in_channels"]), size, names)
    outputs = spec.channels * (2 if diffusion.learned_variance else 1)
    if config["out_channels"] != outputs:
        raise ParamsError(
            f"{told}: out_channels must be {outputs} for {spec.channels} in_channels and a {diffusion.variance} "
            f"variance ({scheduler.name}: variance_type), got {config['out_channels']}"
        )
    network = network_of(config, str(told))
    network.check(spec)
    file = _weights_file(unet)
    theirs = {_renamed(name): tensor for name, tensor in read_tensors(file, pickle=wanted.pickle).items()}
    if names and "class_embedding.weight" in theirs:
        theirs["class_embedding.weight"] = with_null_row(theirs["class_embedding.weight"], len(names))
    weights = fitted(network, spec, diffusion, diffusers_places(outline_of(network, classes=bool(names))), theirs)
    files = {f"{each.parent.name}/{each.name}": sha256_file(each) for each in (told, scheduler, file)}
    return Imported(network, diffusion, spec, bound, weights, {"layout": "diffusers", "files": files})


def checked(content: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The network's configuration with defaults; all that cannot be expressed is named at once."""
    if content.get("_class_name") != "UNet2DModel":
        raise ParamsError(f"{file}: _class_name must be UNet2DModel to be imported, got {content.get('_class_name')!r}")
    config = {**DEFAULTS, **{key: value for key, value in content.items() if not key.startswith("_")}}
    faults = [f"{key} is not known" for key in sorted(set(config) - set(DEFAULTS))]
    faults += [
        f"{key} must be {' or '.join(map(repr, values))}, got {config[key]!r}"
        for key, values in ONLY.items()
        if config[key] not in values
    ]
    if config["upsample_type"] != config["downsample_type"]:
        faults.append(
            f"upsample_type must be downsample_type {config['downsample_type']!r}, got {config['upsample_type']!r}"
        )
    faults += _faults_of_blocks(config)
    width = config["time_embedding_dim"]
    if width not in (None, 4 * config["block_out_channels"][0]):
        faults.append(f"time_embedding_dim must be 4 times block_out_channels[0], got {width}")
    if faults:
        raise ParamsError(f"{file}: cannot be imported: {'; '.join(faults)}")
    return config


def _faults_of_blocks(config: Mapping[str, Any]) -> list[str]:
    attends = {"DownBlock2D": False, "AttnDownBlock2D": True}
    down, up = config["down_block_types"], config["up_block_types"]
    if unknown := sorted(set(down) - set(attends)):
        return [f"down_block_types must be of {', '.join(attends)}, got {', '.join(unknown)}"]
    mirrored = [each.replace("Down", "Up") for each in reversed(down)]
    if list(up) != mirrored:
        return [f"up_block_types must mirror down_block_types ({', '.join(mirrored)}), got {', '.join(up)}"]
    widths, head = config["block_out_channels"], config["attention_head_dim"]
    if len(widths) != len(down):
        return [f"block_out_channels must be as many as down_block_types, got {len(widths)} and {len(down)}"]
    attended = [width for width, kind in zip(widths, down, strict=True) if attends[kind]] + [widths[-1]]
    return [f"attention_head_dim {head} must divide {width}" for width in attended if head and width % head]


def network_of(config: Mapping[str, Any], file: str) -> ImportedUNetConfig:
    """The network of a checked configuration."""
    widths, head, groups = config["block_out_channels"], config["attention_head_dim"], config["norm_num_groups"]
    scale_shift = config["resnet_time_scale_shift"] == "scale_shift"
    attended = tuple(i for i, kind in enumerate(config["down_block_types"]) if kind == "AttnDownBlock2D")
    try:
        return ImportedUNetConfig(
            kind="imported_unet",
            widths=tuple(widths),
            blocks=config["layers_per_block"],
            attention_levels=attended,
            heads=tuple(max(width // (head or width), 1) for width in widths),
            norm_groups=groups,
            norm_eps=float(config["norm_eps"]),
            # Its middle attention has a norm only where the blocks add the time, or where it is asked for.
            middle_norm_groups=config["attn_norm_num_groups"] or (0 if scale_shift else groups),
            dropout=float(config["dropout"]),
            scale_shift=scale_shift,
            # Its blocks without attention halve by a convolution whatever downsample_type says.
            resblock_levels=attended if config["downsample_type"] == "resnet" else (),
            padding="both" if config["downsample_padding"] else "end",
            cosines_first=bool(config["flip_sin_to_cos"]),
            frequency_shift=float(config["freq_shift"]),
            time_scale=1.0,
        )
    except ParamsError as error:
        raise ParamsError(f"{file}: {error}") from error


def outline_of(network: ImportedUNetConfig, *, classes: bool) -> Outline:
    """What decides the names of its tensors."""
    return Outline(
        network.widths,
        network.blocks,
        network.attention_levels,
        network.resblock_levels,
        network.middle_norm_groups > 0,
        classes,
    )


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    if not file.is_file():
        raise ParamsError(f"{file}: must be a JSON file, found none")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{file}: must be a JSON text, got one that does not parse ({error})") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{file}: must be a JSON object, got {type(content).__name__}")
    return content


def _scheduler_file(folder: Path, unet: Path) -> Path:
    name = "scheduler_config.json"
    places = [folder / "scheduler" / name, unet / name, unet.parent / "scheduler" / name]
    found = [place for place in places if place.is_file()]
    if not found:
        raise ParamsError(f"{folder}: must hold scheduler/{name}, which says what the network predicts; found none")
    return found[0]


def _weights_file(unet: Path) -> Path:
    for ending in ("safetensors", "bin"):
        if (unet / f"{WEIGHTS}.{ending}").is_file():
            return unet / f"{WEIGHTS}.{ending}"
    raise ParamsError(f"{unet}: must hold {WEIGHTS}.safetensors in one file, found none")


def _size(told: Any, file: str) -> tuple[int, int]:
    if told is None:
        raise ParamsError(f"{file}: sample_size says nothing; give --size HEIGHTxWIDTH")
    return (told, told) if isinstance(told, int) else (int(told[0]), int(told[1]))


def _renamed(name: str) -> str:
    """Attention had other names before diffusers 0.15; the published DDPM models still have them."""
    parts = name.split(".")
    if "attentions" in parts and parts[-2] in _OLD_ATTENTION:
        parts[-2] = _OLD_ATTENTION[parts[-2]]
    return ".".join(parts)
