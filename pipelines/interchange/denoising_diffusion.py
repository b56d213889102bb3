"""Checkpoints of denoising-diffusion-pytorch: its Trainer's files, or the state of its GaussianDiffusion or Unet."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ddpm_core.diffusion.parameterisation import Target
from ddpm_core.diffusion.schedules import Cosine, Linear, ScheduleConfig, Sigmoid
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import sha256_file
from ddpm_core.models.linear_attention_unet_config import LinearAttentionUNetConfig
from pipelines.interchange.model import Imported, ImportOptions, class_names, fitted, pictures
from pipelines.interchange.scheduler import chosen, diffusion_config
from pipelines.interchange.tensors import Place, layer, read_tensors

NEEDED = ("image_size", "dim", "dim_mults", "timesteps", "objective", "beta_schedule")
"""Their defaults have changed from version to version, or there are none."""
OTHERS: dict[str, Any] = {
    "init_dim": None,
    "dropout": 0.0,
    "attn_dim_head": 32,
    "attn_heads": 4,
    "full_attn": None,
    "flash_attn": False,
    "auto_normalize": True,
}
TARGETS: dict[str, Target] = {"pred_noise": "eps", "pred_x0": "x0", "pred_v": "v"}
_CAP = 0.999  # of beta
_NEAR = 1e-5


def read_denoising_diffusion(file: Path, flags: Mapping[str, Any], wanted: ImportOptions) -> Imported:
    """The model of a checkpoint and of the arguments that it was made with; its averages where it has any."""
    told = checked(flags)
    process, theirs = states(read_tensors(file, pickle=wanted.pickle), file)
    network = network_of(told, theirs)
    class_names(wanted.classes, 0)  # refuses classes: this network has none
    size = told["image_size"]
    height, width = wanted.size or ((size, size) if isinstance(size, int) else size)
    spec = pictures(int(theirs["init_conv.weight"].shape[1]), (height, width), ())
    network.check(spec)
    target = chosen(TARGETS, told["objective"], "flags: objective")
    diffusion = diffusion_config(_schedule(told), target, "fixed_small")
    alpha_bar = diffusion.parameterisation().schedule.alpha_bar[1:]
    kept = process.get("alphas_cumprod")
    if kept is not None and (len(kept) != len(alpha_bar) or np.abs(kept.numpy() - alpha_bar).max() > _NEAR):
        raise ParamsError(
            f"flags: timesteps and beta_schedule must give the alphas_cumprod of {file.name}, which has {len(kept)}, "
            f"got {told['timesteps']} and {told['beta_schedule']}"
        )
    weights = fitted(network, spec, diffusion, list(places(network)), theirs)
    source = {"layout": "denoising-diffusion-pytorch", "files": {file.name: sha256_file(file)}, "flags": dict(flags)}
    return Imported(network, diffusion, spec, "clip", weights, source)


def checked(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with what they leave out; all faults are named at once."""
    told = {**OTHERS, **flags}
    faults = [f"{key} must be given" for key in NEEDED if key not in told]
    faults += [f"{key} is not known" for key in sorted(set(told) - {*NEEDED, *OTHERS})]
    if told["auto_normalize"] is not True:
        faults.append(f"auto_normalize must be true, got {told['auto_normalize']!r}")
    if faults:
        raise ParamsError(f"flags: cannot be imported: {'; '.join(faults)}")
    return told


def states(content: Mapping[str, Any], file: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a checkpoint holds of GaussianDiffusion's own and of its Unet; the averages before the last weights."""
    for outer in ("ema", "ema_model", "model"):
        if isinstance(content.get(outer), Mapping):
            return states(content[outer], file)
    for prefix in ("ema_model.", ""):
        process = {name.removeprefix(prefix): each for name, each in content.items() if name.startswith(prefix)}
        unet = {name.removeprefix("model."): each for name, each in process.items() if name.startswith("model.")}
        for found in (unet, process):
            if "init_conv.weight" in found:
                return process, found
    raise IntegrityError(f"{file}: must hold the state of a Unet, with init_conv.weight; found none")


def network_of(told: Mapping[str, Any], theirs: Mapping[str, Tensor]) -> LinearAttentionUNetConfig:
    """The network of checked arguments."""
    mult, full = tuple(told["dim_mults"]), told["full_attn"]
    levels = range(len(mult))
    memory = theirs.get("mid_attn.mem_kv")
    if memory is None or memory.ndim != 4:
        raise IntegrityError("weights: must be those of a version with mid_attn.mem_kv, 1.8 or newer; found none")
    chosen_full = each_level(full if full else [*[False] * (len(mult) - 1), True], len(mult))
    try:
        return LinearAttentionUNetConfig(
            kind="linear_attention_unet",
            channels=told["dim"],
            stem=told["init_dim"] or told["dim"],
            multipliers=mult,
            full_attention_levels=tuple(level for level in levels if chosen_full[level]),
            heads=each_level(told["attn_heads"], len(mult)),
            head_width=each_level(told["attn_dim_head"], len(mult)),
            memory=int(memory.shape[2]),
            dropout=float(told["dropout"]),
        )
    except ParamsError as error:
        raise ParamsError(f"flags: {error}") from error


def each_level(value: Any, levels: int) -> tuple[Any, ...]:
    """One value for all levels, or a list with one for each."""
    return tuple(value) if isinstance(value, list | tuple) else (value,) * levels


def _schedule(told: Mapping[str, Any]) -> ScheduleConfig:
    T = int(told["timesteps"])
    # Theirs ends with beta = 0.999 in place of 1; the level before has the last of the sigmoid's own.
    ends = 1 / (1 + np.exp(-np.array([-3.0, 3.0, 3.0 - 6.0 / T])))
    before_last = (ends[1] - ends[2]) / (ends[1] - ends[0])
    schedules: dict[str, ScheduleConfig] = {
        "linear": Linear("linear", T, 1e-4, 0.02, scale_ends=True, zero_terminal_snr=False),
        "cosine": Cosine("cosine", T, 0.008, _CAP, zero_terminal_snr=False),
        "sigmoid": Sigmoid("sigmoid", T, -3.0, 3.0, 1.0, float((1 - _CAP) * before_last), zero_terminal_snr=False),
    }
    found: ScheduleConfig = chosen(schedules, told["beta_schedule"], "flags: beta_schedule")
    return found


def places(of: LinearAttentionUNetConfig) -> Iterator[Place]:
    """Ours beside their Unet's."""
    last = len(of.multipliers) - 1
    yield from layer("time.0", "time_mlp.1")
    yield from layer("time.2", "time_mlp.3")
    yield from layer("stem", "init_conv")
    for level in range(last + 1):
        yield from _level(f"down.{level}", f"downs.{level}", skip=False, full=level in of.full_attention_levels)
        yield from layer(f"down.{level}.change", f"downs.{level}.3" + (".1" if level < last else ""))
    yield from _block("middle_first", "mid_block1", skip=False)
    yield from _attention("middle_attention", "mid_attn", full=True)
    yield from _block("middle_second", "mid_block2", skip=False)
    for i, level in enumerate(reversed(range(last + 1))):
        yield from _level(f"up.{i}", f"ups.{i}", skip=True, full=level in of.full_attention_levels)
        yield from layer(f"up.{i}.change", f"ups.{i}.3" + (".1" if i < last else ""))
    yield from _block("last", "final_res_block", skip=True)
    yield from layer("out", "final_conv")


def _level(ours: str, theirs: str, *, skip: bool, full: bool) -> Iterator[Place]:
    yield from _block(f"{ours}.first", f"{theirs}.0", skip=skip)
    yield from _block(f"{ours}.second", f"{theirs}.1", skip=skip)
    yield from _attention(f"{ours}.attention", f"{theirs}.2", full=full)


def _block(ours: str, theirs: str, *, skip: bool) -> Iterator[Place]:
    yield from layer(f"{ours}.embed", f"{theirs}.mlp.1")
    for n in (1, 2):
        yield from layer(f"{ours}.conv{n}", f"{theirs}.block{n}.proj")
        yield Place(f"{ours}.norm{n}.scale", (f"{theirs}.block{n}.norm.g",))
    if skip:
        yield from layer(f"{ours}.skip", f"{theirs}.res_conv")


def _attention(ours: str, theirs: str, *, full: bool) -> Iterator[Place]:
    yield Place(f"{ours}.norm.scale", (f"{theirs}.norm.g",))
    yield Place(f"{ours}.memory", (f"{theirs}.mem_kv",))
    yield Place(f"{ours}.qkv.weight", (f"{theirs}.to_qkv.weight",))
    yield from layer(f"{ours}.out", f"{theirs}.to_out" if full else f"{theirs}.to_out.0")
    if not full:
        yield Place(f"{ours}.out_norm.scale", (f"{theirs}.to_out.1.g",))
