"""Which tensor of another library's U-Net is which of ours: diffusers' UNet2DModel, and OpenAI's UNetModel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.interchange.tensors import Place, layer


@dataclass(frozen=True)
class Outline:
    """What decides the names of a U-Net's tensors. `middle_norm`: whether the attention of the middle has a norm."""

    widths: Sequence[int]
    blocks: int
    attention_levels: Sequence[int]
    resblock_levels: Sequence[int]
    middle_norm: bool
    classes: bool


def diffusers_places(of: Outline) -> list[Place]:
    """Ours beside UNet2DModel's, which names them by level."""
    return [
        *layer("time.0", "time_embedding.linear_1"),
        *layer("time.2", "time_embedding.linear_2"),
        *([Place("label.weight", ("class_embedding.weight",))] if of.classes else []),
        *layer("stem", "conv_in"),
        *_diffusers_down(of),
        *_diffusers_block("middle.0.block", "mid_block.resnets.0", skip=False),
        *_diffusers_attention("middle.0.attention", "mid_block.attentions.0", norm=of.middle_norm),
        *_diffusers_block("middle.1.block", "mid_block.resnets.1", skip=False),
        *_diffusers_up(of),
        *layer("norm", "conv_norm_out"),
        *layer("out", "conv_out"),
    ]


def _diffusers_down(of: Outline) -> Iterator[Place]:
    n, before = 0, of.widths[0]
    for level, width in enumerate(of.widths):
        for i in range(of.blocks):
            there = f"down_blocks.{level}"
            yield from _diffusers_block(f"down.{n}.block", f"{there}.resnets.{i}", skip=before != width)
            if level in of.attention_levels:
                yield from _diffusers_attention(f"down.{n}.attention", f"{there}.attentions.{i}", norm=True)
            n, before = n + 1, width
        if level < len(of.widths) - 1:
            yield from _diffusers_resampler(
                f"down.{n}", f"down_blocks.{level}.downsamplers.0", blocks=level in of.resblock_levels
            )
            n += 1


def _diffusers_up(of: Outline) -> Iterator[Place]:
    n = 0
    for i, level in enumerate(reversed(range(len(of.widths)))):
        for j in range(of.blocks + 1):
            yield from _diffusers_block(f"up.{n}.block", f"up_blocks.{i}.resnets.{j}", skip=True)
            if level in of.attention_levels:
                yield from _diffusers_attention(f"up.{n}.attention", f"up_blocks.{i}.attentions.{j}", norm=True)
            n += 1
        if level > 0:
            yield from _diffusers_resampler(
                f"up.{n}", f"up_blocks.{i}.upsamplers.0", blocks=level in of.resblock_levels
            )
            n += 1


def _diffusers_resampler(ours: str, theirs: str, *, blocks: bool) -> list[Place]:
    return _diffusers_block(ours, theirs, skip=False) if blocks else layer(f"{ours}.conv", f"{theirs}.conv")


def _diffusers_block(ours: str, theirs: str, *, skip: bool) -> list[Place]:
    names = {"norm1": "norm1", "conv1": "conv1", "embed": "time_emb_proj", "norm2": "norm2", "conv2": "conv2"}
    names |= {"skip": "conv_shortcut"} if skip else {}
    return [place for mine, its in names.items() for place in layer(f"{ours}.{mine}", f"{theirs}.{its}")]


def _diffusers_attention(ours: str, theirs: str, *, norm: bool) -> list[Place]:
    maps = [f"{theirs}.{each}" for each in ("to_q", "to_k", "to_v")]
    return [
        *(layer(f"{ours}.norm", f"{theirs}.group_norm") if norm else []),
        *[
            Place(f"{ours}.qkv.{part}", tuple(f"{each}.{part}" for each in maps), flat=True)
            for part in ("weight", "bias")
        ],
        *layer(f"{ours}.out", f"{theirs}.to_out.0", flat=True),
    ]
