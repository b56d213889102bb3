"""The networks of vae_config.py: an encoder, and a decoder that makes a datum of a few numbers of unit noise."""

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.layers import Downsample, GroupNorm, ResBlock, Upsample, conv, zero_init

if TYPE_CHECKING:
    from ddpm_core.models.vae_config import VAEConfig

_GAIN, _LEAST = 10.0, -7.0
"""The shared scale is learned as a tenth of its logarithm, which so moves as fast as the weights of a layer; and no
logarithm of a scale is below -7 (a quarter of the distance of 256 levels), so that no density grows without limit."""


def _block(config: "VAEConfig", wide_in: int, wide_out: int) -> ResBlock:
    return ResBlock(
        wide_in,
        wide_out,
        config.embedding_width,
        groups=config.norm_groups,
        dropout=config.dropout,
        scale_shift=True,
    )


def _of_level(config: "VAEConfig", before: int, wide: int) -> list[nn.Module]:
    return [_block(config, before if i == 0 else wide, wide) for i in range(config.blocks)]


class Down(nn.Module):
    """Pictures [B, *shape] -> features [B, width]: each level has half the side of the one before."""

    def __init__(self, config: "VAEConfig", shape: tuple[int, ...]) -> None:
        super().__init__()
        widths = config.widths
        self.stem = conv(4 * shape[0], widths[0], 3)
        self.blocks = nn.ModuleList(_of_level(config, widths[0], widths[0]))
        for before, wide in pairwise(widths):
            self.blocks.append(Downsample(before))
            self.blocks.extend(_of_level(config, before, wide))
        self.norm = GroupNorm(config.norm_groups, widths[-1])
        self.width = widths[-1] * prod(shape) // (shape[0] * 4 ** len(widths))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.stem(F.pixel_unshuffle(x, 2))
        for module in self.blocks:
            h = module(h, embedding)
        return F.silu(self.norm(h)).flatten(1)


class Up(nn.Module):
    """Latent numbers [B, latent] -> features [B, channels, H / 2, W / 2], coarsest level first."""

    def __init__(self, config: "VAEConfig", shape: tuple[int, ...]) -> None:
        super().__init__()
        widths = config.widths
        stride = 2 ** len(widths)
        self.least = (widths[-1], shape[1] // stride, shape[2] // stride)
        self.stem = nn.Linear(config.latent, prod(self.least))
        self.style = nn.Linear(config.latent, config.embedding_width)
        self.blocks = nn.ModuleList()
        for before, wide in pairwise([widths[-1], *reversed(widths)]):
            self.blocks.extend([Upsample(before)] if len(self.blocks) else [])
            self.blocks.extend(_of_level(config, before, wide))
        self.norm = GroupNorm(config.norm_groups, widths[0])

    def forward(self, z: Tensor, embedding: Tensor) -> Tensor:
        h = self.stem(z).reshape(-1, *self.least)
        embedding = F.silu(embedding + self.style(z))
        for module in self.blocks:
            h = module(h, embedding)
        return F.silu(self.norm(h))


class Flat(nn.Module):
    """Hidden layers of these widths on the values and, `labelled`, the label's embedding beside them. -> [B, width]"""

    def __init__(self, config: "VAEConfig", values: int, hidden: tuple[int, ...], labelled: bool) -> None:
        super().__init__()
        self.labelled = labelled
        sizes = [values + (config.embedding_width if labelled else 0), *hidden]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.dropout, self.width = nn.Dropout(config.dropout), sizes[-1]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = torch.cat([x.flatten(1), embedding], 1) if self.labelled else x.flatten(1)
        for layer in self.layers:
            h = self.dropout(F.silu(layer(h)))
        return h


class Generator(nn.Module):
    """`net(x_t, t, label)`: of x_t [B, *shape] the first `latent` numbers are z; the time is not looked at.

    -> the mean of p(x | z, label), [B, *shape], float32. The label `classes` is the null label, also the default.
    """

    def __init__(self, config: "VAEConfig", shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.config, self.shape, self.classes = config, shape, classes
        width, latent = config.embedding_width, config.latent
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.prior = zero_init(nn.Linear(width, 2 * latent)) if classes else None
        self.in_pictures = len(shape) == 3 and bool(config.widths)
        flat = None if self.in_pictures else Flat(config, latent, config.widths[::-1], bool(classes))
        self.decoder = flat or Up(config, shape)
        self.width = flat.width if flat else config.widths[0]
        self.mean = self._head()

    def _head(self) -> nn.Module:
        """Features -> a number for each value of the datum; zero before training."""
        if self.in_pictures:
            return nn.Sequential(zero_init(conv(self.width, 4 * self.shape[0], 3)), nn.PixelShuffle(2))
        return nn.Sequential(zero_init(nn.Linear(self.width, prod(self.shape))), nn.Unflatten(1, self.shape))

    def embed(self, label: Tensor | None, like: Tensor) -> Tensor:
        """[B, width]; zeros for a network without classes."""
        if self.label is None:
            if label is not None:
                raise ParamsError("this network was built without classes: it takes no label, got one")
            return like.new_zeros(like.shape[0], self.config.embedding_width)
        if label is None:
            label = torch.full(like.shape[:1], self.classes, dtype=torch.int64, device=like.device)
        e: Tensor = self.label(label)
        return e

    def place(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation of the latent numbers that a label has: z is what is left, N(0, I) of each."""
        if self.prior is None:
            nothing = embedding.new_zeros(embedding.shape[0], self.config.latent)
            return nothing, nothing
        mean, log_std = self.prior(embedding).float().chunk(2, 1)
        return mean, log_std

    def features(self, z: Tensor, label: Tensor | None) -> Tensor:
        embedding = self.embed(label, z)
        mean, log_std = self.place(embedding)
        h: Tensor = self.decoder(z * torch.exp(log_std) + mean, embedding)
        return h

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise DataError(f"this network takes data of shape {self.shape}, got {tuple(x.shape[1:])}")
        y: Tensor = self.mean(self.features(x.flatten(1)[:, : self.config.latent], label)).float()
        return y


class VAE(Generator):
    """A generator, with the encoder and the scale that training needs beside it."""

    def __init__(self, config: "VAEConfig", shape: tuple[int, ...], classes: int) -> None:
        super().__init__(config, shape, classes)
        size = prod(shape)
        encoder = Down(config, shape) if self.in_pictures else Flat(config, size, config.widths, bool(classes))
        self.encoder, self.moments = encoder, nn.Linear(encoder.width, 2 * config.latent)
        self.scale = nn.Parameter(torch.zeros(())) if config.scale == "shared" else self._head()

    def encode(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x, label), each [B, latent]."""
        embedding = self.embed(label, x)
        mean, log_var = self.moments(self.encoder(x, F.silu(embedding))).float().chunk(2, 1)
        centre, log_std = self.place(embedding)
        return (mean - centre) * torch.exp(-log_std), log_var - 2 * log_std

    def decode(self, z: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log scale of p(x | z, label), [B, *shape]; a shared scale has no axes."""
        h = self.features(z, label)
        raw = _GAIN * self.scale if isinstance(self.scale, nn.Parameter) else self.scale(h).float()
        return self.mean(h).float(), _LEAST + F.softplus(raw - _LEAST)

    def generator(self) -> Generator:
        """The part that makes samples: the same tensors under the same names."""
        with torch.device("meta"):
            part = Generator(self.config, self.shape, self.classes)
        part.label, part.prior, part.decoder, part.mean = self.label, self.prior, self.decoder, self.mean
        return part.train(self.training)
