"""A variational autoencoder: an encoder, and a decoder that makes a datum of a few numbers of unit noise."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.base import NetworkConfig, check_label_alone
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class VAEConfig(NetworkConfig):
    """Encoder and decoder of Kingma & Welling 2014, for objective `elbo`: convolutional for pictures.

    `scale` is the learned scale of p(x | z): one number (`shared`), or a number of the decoder for each value (`each`).
    Data of another shape than pictures' are seen as one vector, by layers of channels times multipliers. Without
    multipliers both are linear, so that the model is probabilistic PCA (Tipping & Bishop 1999).
    """

    kind: Literal["vae"]
    latent: int
    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    norm_groups: int
    dropout: float
    scale: Literal["shared", "each"]

    is_autoencoder: ClassVar[bool] = True
    compiles: ClassVar[bool] = False
    __checks__: ClassVar[Checks] = {
        "latent": at_least_1,
        "channels": at_least_1,
        "multipliers": (lambda v: all(m >= 1 for m in v), "numbers of at least 1"),
        "blocks": at_least_1,
        "norm_groups": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    }

    def faults(self) -> list[str]:
        if self.channels % self.norm_groups:
            return [f"channels: must be a multiple of norm_groups, got {self.channels} and {self.norm_groups}"]
        return []

    def check(self, spec: DataSpec) -> None:
        """A label or no condition; no more latent numbers than a datum has; pictures that can be halved."""
        check_label_alone(spec, self.kind)
        if self.latent > prod(spec.shape):
            raise ParamsError(
                f"model.latent: must be at most the {prod(spec.shape)} values of a datum, got {self.latent}"
            )
        stride = 2 ** len(self.multipliers)
        if len(spec.shape) == 3 and any(side % stride for side in spec.shape[1:]):
            raise ParamsError(
                f"model.multipliers: height and width must be multiples of {stride} (each multiplier halves them), got "
                f"{spec.shape[1]} x {spec.shape[2]}; resize the pictures, or give fewer multipliers"
            )

    def build(self, spec: DataSpec, learned_variance: bool) -> "nn.Module":
        self.check(spec)
        if learned_variance:
            raise ParamsError("model.kind: vae has no variance of a reverse step, which diffusion.variance asks it for")
        return _vae(self, spec.shape, len(spec.classes))

    def exported(self, net: Any) -> "nn.Module":
        """The decoder alone."""
        part: nn.Module = net.generator()
        return part


_GAIN, _LEAST = 10.0, -7.0
"""The shared scale is learned as a tenth of its logarithm, which so moves as fast as the weights of a layer; and no
logarithm of a scale is below -7 (a quarter of the distance of 256 levels), so that no density grows without limit."""


def _vae(config: VAEConfig, shape: tuple[int, ...], classes: int) -> "nn.Module":
    import torch
    from torch import nn
    from torch.nn import functional as F  # noqa: N812

    from ddpm_core.models.layers import Downsample, GroupNorm, ResBlock, Upsample, conv, zero_init

    size, latent = prod(shape), config.latent
    widths = [config.channels * multiplier for multiplier in config.multipliers]
    width = 4 * config.channels  # of the label's embedding
    in_pictures = len(shape) == 3 and bool(widths)

    def block(wide_in: int, wide_out: int) -> ResBlock:
        return ResBlock(wide_in, wide_out, width, groups=config.norm_groups, dropout=config.dropout, scale_shift=True)

    class Down(nn.Module):
        """Pictures [B, *shape] -> features [B, width]: each level has half the side of the one before."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = conv(4 * shape[0], widths[0], 3)
            self.blocks = nn.ModuleList(block(widths[0], widths[0]) for _ in range(config.blocks))
            for before, wide in pairwise(widths):
                self.blocks.append(Downsample(before))
                self.blocks.extend(block(before if i == 0 else wide, wide) for i in range(config.blocks))
            self.norm = GroupNorm(config.norm_groups, widths[-1])
            self.width = widths[-1] * size // (shape[0] * 4 ** len(widths))

        def forward(self, x: "Tensor", embedding: "Tensor") -> "Tensor":
            h = self.stem(F.pixel_unshuffle(x, 2))
            for module in self.blocks:
                h = module(h, embedding)
            return F.silu(self.norm(h)).flatten(1)

    class Up(nn.Module):
        """Latent numbers [B, latent] -> features [B, channels, H / 2, W / 2], coarsest level first."""

        def __init__(self) -> None:
            super().__init__()
            stride = 2 ** len(widths)
            self.least = (widths[-1], shape[1] // stride, shape[2] // stride)
            self.stem, self.style = nn.Linear(latent, prod(self.least)), nn.Linear(latent, width)
            self.blocks = nn.ModuleList()
            for before, wide in pairwise([widths[-1], *reversed(widths)]):
                self.blocks.extend([Upsample(before)] if len(self.blocks) else [])
                self.blocks.extend(block(before if i == 0 else wide, wide) for i in range(config.blocks))
            self.norm = GroupNorm(config.norm_groups, widths[0])

        def forward(self, z: "Tensor", embedding: "Tensor") -> "Tensor":
            h = self.stem(z).reshape(-1, *self.least)
            embedding = F.silu(embedding + self.style(z))
            for module in self.blocks:
                h = module(h, embedding)
            return F.silu(self.norm(h))

    class Flat(nn.Module):
        """Hidden layers of these widths on the values and the label's embedding, side by side. -> [B, width]"""

        def __init__(self, values: int, hidden: list[int]) -> None:
            super().__init__()
            sizes = [values + (width if classes else 0), *hidden]
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
            self.dropout, self.width = nn.Dropout(config.dropout), sizes[-1]

        def forward(self, x: "Tensor", embedding: "Tensor") -> "Tensor":
            h = torch.cat([x.flatten(1), embedding], 1) if classes else x.flatten(1)
            for layer in self.layers:
                h = self.dropout(F.silu(layer(h)))
            return h

    def head(features: int) -> nn.Module:
        """Features -> a number for each value of the datum; zero before training."""
        if in_pictures:
            return nn.Sequential(zero_init(conv(features, 4 * shape[0], 3)), nn.PixelShuffle(2))
        return nn.Sequential(zero_init(nn.Linear(features, size)), nn.Unflatten(1, shape))

    class Generator(nn.Module):
        """`net(x_t, t, label)`: of x_t [B, *shape] the first `latent` numbers are z; the time is not looked at.

        -> the mean of p(x | z, label), [B, *shape], float32. The label `classes` is the null label, also the default.
        """

        def __init__(self) -> None:
            super().__init__()
            self.label = nn.Embedding(classes + 1, width) if classes else None
            self.prior = zero_init(nn.Linear(width, 2 * latent)) if classes else None
            flat = None if in_pictures else Flat(latent, widths[::-1])
            self.decoder = flat or Up()
            self.width = flat.width if flat else widths[0]
            self.mean = head(self.width)

        def embed(self, label: "Tensor | None", like: "Tensor") -> "Tensor":
            """[B, width]; zeros for a network without classes."""
            if self.label is None:
                if label is not None:
                    raise ParamsError("this network was built without classes: it takes no label, got one")
                return like.new_zeros(like.shape[0], width)
            if label is None:
                label = torch.full(like.shape[:1], classes, dtype=torch.int64, device=like.device)
            e: Tensor = self.label(label)
            return e

        def place(self, embedding: "Tensor") -> "tuple[Tensor, Tensor]":
            """Mean and log deviation of the latent numbers that a label has: z is what is left, N(0, I) of each."""
            if self.prior is None:
                nothing = embedding.new_zeros(embedding.shape[0], latent)
                return nothing, nothing
            mean, log_std = self.prior(embedding).float().chunk(2, 1)
            return mean, log_std

        def features(self, z: "Tensor", label: "Tensor | None") -> "Tensor":
            embedding = self.embed(label, z)
            mean, log_std = self.place(embedding)
            h: Tensor = self.decoder(z * torch.exp(log_std) + mean, embedding)
            return h

        def forward(self, x: "Tensor", t: "Tensor", label: "Tensor | None" = None) -> "Tensor":
            if tuple(x.shape[1:]) != shape:
                raise DataError(f"this network takes data of shape {shape}, got {tuple(x.shape[1:])}")
            y: Tensor = self.mean(self.features(x.flatten(1)[:, :latent], label)).float()
            return y

    class VAE(Generator):
        """A generator, with the encoder and the scale that training needs beside it."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = Down() if in_pictures else Flat(size, widths)
            self.moments = nn.Linear(self.encoder.width, 2 * latent)
            self.scale = nn.Parameter(torch.zeros(())) if config.scale == "shared" else head(self.width)

        def encode(self, x: "Tensor", label: "Tensor | None" = None) -> "tuple[Tensor, Tensor]":
            """Mean and log variance of q(z | x, label), each [B, latent]."""
            embedding = self.embed(label, x)
            mean, log_var = self.moments(self.encoder(x, F.silu(embedding))).float().chunk(2, 1)
            centre, log_std = self.place(embedding)
            return (mean - centre) * torch.exp(-log_std), log_var - 2 * log_std

        def decode(self, z: "Tensor", label: "Tensor | None" = None) -> "tuple[Tensor, Tensor]":
            """Mean and log scale of p(x | z, label), [B, *shape]; a shared scale has no axes."""
            h = self.features(z, label)
            raw = _GAIN * self.scale if isinstance(self.scale, nn.Parameter) else self.scale(h).float()
            return self.mean(h).float(), _LEAST + F.softplus(raw - _LEAST)

        def generator(self) -> Generator:
            """The part that makes samples: the same tensors under the same names."""
            with torch.device("meta"):
                part = Generator()
            part.label, part.prior, part.decoder, part.mean = self.label, self.prior, self.decoder, self.mean
            return part.train(self.training)

    return VAE()
