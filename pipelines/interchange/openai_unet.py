"""Checkpoints of improved-diffusion and guided-diffusion: a state dict, and the flags that its model was made with."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_core.diffusion.schedules import Cosine, Linear, ScheduleConfig
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.errors import ParamsError
from ddpm_core.files import sha256_file
from ddpm_core.models.imported_unet_config import ImportedUNetConfig
from pipelines.interchange.model import Imported, ImportOptions, class_names, fitted, pictures, with_null_row
from pipelines.interchange.scheduler import chosen, diffusion_config
from pipelines.interchange.tensors import Place, layer, read_tensors

NEEDED = (
    "image_size",
    "num_channels",
    "num_res_blocks",
    "attention_resolutions",
    "use_scale_shift_norm",
    "class_cond",
    "learn_sigma",
    "diffusion_steps",
    "noise_schedule",
    "rescale_timesteps",
)
"""Flags whose defaults differ between the two, or from model to model."""
OTHERS: dict[str, Any] = {
    "channel_mult": "",
    "num_heads": 4,
    "num_heads_upsample": -1,
    "num_head_channels": -1,
    "dropout": 0.0,
    "resblock_updown": False,
    "use_new_attention_order": False,
    "predict_xstart": False,
    "sigma_small": False,
}
WITHOUT_EFFECT = ("use_checkpoint", "use_fp16", "use_kl", "rescale_learned_sigmas", "timestep_respacing")
"""They concern training, memory or their own sampler."""
MULTIPLIERS = {256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4), 32: (1, 2, 2, 2)}
_GROUPS = 32


def read_openai(file: Path, flags: Mapping[str, Any], wanted: ImportOptions) -> Imported:
    """The model of a checkpoint and its flags."""
    told = checked(flags)
    theirs = read_tensors(file, pickle=wanted.pickle)
    stem = theirs.get("input_blocks.0.0.weight")
    if stem is None or stem.ndim != 4:
        raise ParamsError(f"{file}: must be the state dict of a UNetModel, with input_blocks.0.0.weight; found none")
    rows = theirs["label_emb.weight"] if told["class_cond"] and "label_emb.weight" in theirs else None
    names = class_names(wanted.classes, 0 if rows is None else len(rows))
    if rows is not None:
        theirs["label_emb.weight"] = with_null_row(rows, len(names))
    spec = pictures(int(stem.shape[1]), wanted.size or (told["image_size"],) * 2, names)
    network, T = network_of(told), int(told["diffusion_steps"])
    network.check(spec)
    schedules: dict[str, ScheduleConfig] = {
        "linear": Linear("linear", T, 1e-4, 0.02, scale_ends=True, zero_terminal_snr=False),
        "cosine": Cosine("cosine", T, 0.008, 0.999, zero_terminal_snr=False),
    }
    variance: VarianceName = "fixed_small" if told["sigma_small"] else "fixed_large"
    diffusion = diffusion_config(
        chosen(schedules, told["noise_schedule"], "flags: noise_schedule"),
        "x0" if told["predict_xstart"] else "eps",
        "learned" if told["learn_sigma"] else variance,
    )
    places = [*openai_places(network, classes=bool(told["class_cond"]))]
    if not told["use_new_attention_order"]:
        theirs = by_part(theirs, network, places)
    weights = fitted(network, spec, diffusion, places, theirs)
    source = {"layout": "guided-diffusion", "files": {file.name: sha256_file(file)}, "flags": dict(flags)}
    return Imported(network, diffusion, spec, "clip", weights, source)


def checked(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with what they leave out; all faults are named at once."""
    told = {**OTHERS, **flags}
    faults = [f"{key} must be given" for key in NEEDED if key not in told]
    known = {*NEEDED, *OTHERS, *WITHOUT_EFFECT}
    faults += [f"{key} is not known" for key in sorted(set(told) - known)]
    if not faults and told["num_heads_upsample"] not in (-1, told["num_heads"]):
        faults.append(f"num_heads_upsample must be -1 or num_heads, got {told['num_heads_upsample']}")
    if faults:
        raise ParamsError(f"flags: cannot be imported: {'; '.join(faults)}")
    return told


def network_of(told: Mapping[str, Any]) -> ImportedUNetConfig:
    """The network of checked flags."""
    size, base = told["image_size"], told["num_channels"]
    mult = _numbers(told["channel_mult"]) or chosen(MULTIPLIERS, size, "flags: image_size, without channel_mult,")
    if mult[0] != 1:
        raise ParamsError(f"flags: channel_mult must begin with 1 to be imported, got {mult[0]}")
    widths = tuple(base * each for each in mult)
    strides = {size // resolution for resolution in _numbers(told["attention_resolutions"])}
    head = told["num_head_channels"]
    try:
        return ImportedUNetConfig(
            kind="imported_unet",
            widths=widths,
            blocks=told["num_res_blocks"],
            attention_levels=tuple(level for level in range(len(widths)) if 2**level in strides),
            heads=tuple(told["num_heads"] if head == -1 else max(width // head, 1) for width in widths),
            norm_groups=_GROUPS,
            norm_eps=1e-5,
            middle_norm_groups=_GROUPS,
            dropout=float(told["dropout"]),
            scale_shift=bool(told["use_scale_shift_norm"]),
            resblock_levels=tuple(range(len(widths))) if told["resblock_updown"] else (),
            padding="both",
            cosines_first=True,
            frequency_shift=0.0,
            time_scale=1000.0 / told["diffusion_steps"] if told["rescale_timesteps"] else 1.0,
        )
    except ParamsError as error:
        raise ParamsError(f"flags: {error}") from error


def by_part(theirs: Mapping[str, Tensor], of: ImportedUNetConfig, places: list[Place]) -> dict[str, Tensor]:
    """Query, key and value of all heads together, where theirs are together head by head."""
    wanted = {place.theirs[0]: place.ours for place in places if ".qkv." in place.ours}
    changed = dict(theirs)
    for name, ours in wanted.items():
        if name in theirs and len(theirs[name]) % 3 == 0:
            rows, heads = theirs[name], _heads_at(ours, len(theirs[name]) // 3, of)
            apart = rows.reshape(heads, 3, -1, *rows.shape[1:])
            changed[name] = apart.transpose(0, 1).reshape(rows.shape)
    return changed


def _heads_at(ours: str, width: int, of: ImportedUNetConfig) -> int:
    return of.heads[-1] if ours.startswith("middle") else of.heads[of.widths.index(width)]


def openai_places(of: ImportedUNetConfig, *, classes: bool) -> Iterator[Place]:
    """Ours beside UNetModel's, which numbers input and output blocks through all levels."""
    yield from layer("time.0", "time_embed.0")
    yield from layer("time.2", "time_embed.2")
    if classes:
        yield Place("label.weight", ("label_emb.weight",))
    yield from layer("stem", "input_blocks.0.0")
    n, before, last = 0, of.widths[0], len(of.widths) - 1
    for level, width in enumerate(of.widths):
        for _ in range(of.blocks):
            yield from _block(f"down.{n}.block", f"input_blocks.{n + 1}.0", skip=before != width)
            if level in of.attention_levels:
                yield from _attention(f"down.{n}.attention", f"input_blocks.{n + 1}.1")
            n, before = n + 1, width
        if level < last:
            there = f"input_blocks.{n + 1}.0"
            in_block = level in of.resblock_levels
            yield from _block(f"down.{n}", there, skip=False) if in_block else layer(f"down.{n}.conv", f"{there}.op")
            n += 1
    yield from _block("middle.0.block", "middle_block.0", skip=False)
    yield from _attention("middle.0.attention", "middle_block.1")
    yield from _block("middle.1.block", "middle_block.2", skip=False)
    yield from _up(of)
    yield from layer("norm", "out.0")
    yield from layer("out", "out.2")


def _up(of: ImportedUNetConfig) -> Iterator[Place]:
    n = 0  # their output block; ours has one more for each doubling
    for doublings, level in enumerate(reversed(range(len(of.widths)))):
        for i in range(of.blocks + 1):
            ours, there = f"up.{n + doublings}", f"output_blocks.{n}"
            yield from _block(f"{ours}.block", f"{there}.0", skip=True)
            attends = level in of.attention_levels
            if attends:
                yield from _attention(f"{ours}.attention", f"{there}.1")
            n += 1
            if level > 0 and i == of.blocks:
                mine, its = f"up.{n + doublings}", f"{there}.{2 if attends else 1}"
                in_block = level in of.resblock_levels
                yield from _block(mine, its, skip=False) if in_block else layer(f"{mine}.conv", f"{its}.conv")


def _block(ours: str, theirs: str, *, skip: bool) -> list[Place]:
    names = {"norm1": "in_layers.0", "conv1": "in_layers.2", "embed": "emb_layers.1"}
    names |= {"norm2": "out_layers.0", "conv2": "out_layers.3"} | ({"skip": "skip_connection"} if skip else {})
    return [place for mine, its in names.items() for place in layer(f"{ours}.{mine}", f"{theirs}.{its}")]


def _attention(ours: str, theirs: str) -> list[Place]:
    return [
        *layer(f"{ours}.norm", f"{theirs}.norm"),
        *layer(f"{ours}.qkv", f"{theirs}.qkv", flat=True),
        *layer(f"{ours}.out", f"{theirs}.proj_out", flat=True),
    ]


def _numbers(text: Any) -> tuple[int, ...]:
    """`16,8`, 16 or [16, 8]."""
    words = text if isinstance(text, list | tuple) else [word for word in str(text).split(",") if word.strip()]
    try:
        return tuple(int(word) for word in words)
    except ValueError as error:
        raise ParamsError(f"flags: must be whole numbers with commas between, got {text!r}") from error
