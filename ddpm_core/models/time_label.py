"""The base of the networks that are told the time, a label and attributes."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import ParamsError
from ddpm_core.spec import attribute_key


def sinusoidal_embedding(t: Tensor, width: int) -> Tensor:
    """Time to `width` sines and cosines, in float32 even under autocast. [B] -> [B, width]"""
    half = width // 2
    # Ho et al. 2020, after Vaswani et al. 2017: frequencies from 1 down to 1 / 10000, both ends included.
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    frequencies = torch.exp(steps * (-math.log(10000.0) / max(half - 1, 1)))
    angles = t.float()[:, None] * frequencies[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimeLabelNetwork(nn.Module):
    """A network that is told the time, a label where `classes` is not 0, and attributes by name.

    Base of the networks here: it adds the embeddings of all, time by `sines` numbers. The label `classes` is the null
    label, also the default; so is the number of an attribute's classes.
    """

    def __init__(self, sines: int, width: int, classes: int, attributes: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.sines, self.classes = sines, classes
        self.time = nn.Sequential(nn.Linear(sines, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.nulls = dict(attributes or {})
        self.attributes = nn.ModuleDict({attribute_key(k): nn.Embedding(n + 1, width) for k, n in self.nulls.items()})

    def numbers(self, t: Tensor) -> Tensor:
        """What the time is before its two layers. [B] -> [B, sines]"""
        return sinusoidal_embedding(t, self.sines)

    def embed(self, t: Tensor, label: Tensor | None, attributes: Mapping[str, Tensor] | None = None) -> Tensor:
        """SiLU of the embedding of time, label and attributes, the input of every block. [B], [B] -> [B, width]"""
        embedding: Tensor = self.time(self.numbers(t))
        told = {name: torch.full_like(t, null, dtype=torch.int64) for name, null in self.nulls.items()}
        told.update(attributes or {})
        for name, value in told.items():
            if name not in self.nulls:
                raise ParamsError(f"this network is told {', '.join(self.nulls) or 'no attribute'}, got {name}")
            embedding = embedding + self.attributes[attribute_key(name)](value)
        if self.label is None:
            if label is not None:
                raise ParamsError("this network was built without classes: it takes no label, got one")
            return F.silu(embedding)
        if label is None:
            label = torch.full_like(t, self.classes, dtype=torch.int64)
        return F.silu(embedding + self.label(label))
