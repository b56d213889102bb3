"""The weights of diffusers' UNet2DModel, laid into our UNet of the same configuration.

Both walk down the levels, through a middle of block, attention, block, and up again; only the names differ, and that
we have one convolution for query, key and value where the peer has three linear maps.
"""

from typing import Any

import torch
from torch import nn

from ddpm_core.models.layers import Attention, ResBlock
from ddpm_core.models.stages import Stage
from ddpm_core.models.unet import UNet


class Copier:
    """Copies layer by layer, and remembers what was copied, so that nothing can be left out."""

    def __init__(self) -> None:
        self.filled: set[int] = set()

    def layer(self, ours: nn.Module, theirs: nn.Module) -> None:
        """A layer whose parameters have the same names and shapes on both sides."""
        ours.load_state_dict(theirs.state_dict())
        self._note(ours)

    def block(self, ours: ResBlock, theirs: Any) -> None:
        self.layer(ours.norm1, theirs.norm1)
        self.layer(ours.conv1, theirs.conv1)
        self.layer(ours.embed, theirs.time_emb_proj)
        self.layer(ours.norm2, theirs.norm2)
        self.layer(ours.conv2, theirs.conv2)
        if theirs.conv_shortcut is not None:
            self.layer(ours.skip, theirs.conv_shortcut)

    @torch.no_grad()
    def attention(self, ours: Attention, theirs: Any) -> None:
        self.layer(ours.norm, theirs.group_norm)
        maps = (theirs.to_q, theirs.to_k, theirs.to_v)
        ours.qkv.weight.copy_(torch.cat([linear.weight for linear in maps])[:, :, None, None])
        ours.qkv.bias.copy_(torch.cat([linear.bias for linear in maps]))
        ours.out.weight.copy_(theirs.to_out[0].weight[:, :, None, None])
        ours.out.bias.copy_(theirs.to_out[0].bias)
        self._note(ours)

    def way(self, ours: nn.ModuleList, blocks: Any, resamplers: str) -> None:
        """One way through the levels: residual blocks, each perhaps with attention, and a resampler at the end."""
        modules = iter(ours)
        for block in blocks:
            attentions = getattr(block, "attentions", [None] * len(block.resnets))
            for resnet, attention in zip(block.resnets, attentions, strict=True):
                stage = next(modules)
                assert isinstance(stage, Stage)
                self.block(stage.block, resnet)
                if attention is not None:
                    self.attention(stage.attention, attention)
            for resampler in getattr(block, resamplers) or ():
                self.layer(next(modules).conv, resampler.conv)
        assert next(modules, None) is None

    def _note(self, ours: nn.Module) -> None:
        self.filled |= {id(parameter) for parameter in ours.parameters()}


def copy_weights(ours: UNet, theirs: Any) -> None:
    """Fill every parameter of `ours` from `theirs`."""
    copier = Copier()
    copier.layer(ours.time[0], theirs.time_embedding.linear_1)
    copier.layer(ours.time[2], theirs.time_embedding.linear_2)
    if ours.label is not None:
        copier.layer(ours.label, theirs.class_embedding)
    copier.layer(ours.stem, theirs.conv_in)
    copier.way(ours.down, theirs.down_blocks, "downsamplers")
    first, last = ours.middle
    copier.block(first.block, theirs.mid_block.resnets[0])
    copier.attention(first.attention, theirs.mid_block.attentions[0])
    copier.block(last.block, theirs.mid_block.resnets[1])
    copier.way(ours.up, theirs.up_blocks, "upsamplers")
    copier.layer(ours.norm, theirs.conv_norm_out)
    copier.layer(ours.out, theirs.conv_out)
    missed = [name for name, parameter in ours.named_parameters() if id(parameter) not in copier.filled]
    assert not missed, f"not filled: {missed}"
