"""The parameters of the variational autoencoder of vae.py; without torch."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import ParamsError
from ddpm_core.models.base import NetworkConfig, check_label_alone
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import nn

    from ddpm_core.models.vae import VAE


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

    @property
    def widths(self) -> tuple[int, ...]:
        """Of each level, finest first."""
        return tuple(self.channels * multiplier for multiplier in self.multipliers)

    @property
    def embedding_width(self) -> int:
        """Of the label's embedding."""
        return 4 * self.channels

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

    def build(self, spec: DataSpec, learned_variance: bool) -> "VAE":
        from ddpm_core.models.vae import VAE

        self.check(spec)
        if learned_variance:
            raise ParamsError("model.kind: vae has no variance of a reverse step, which diffusion.variance asks it for")
        return VAE(self, spec.shape, len(spec.classes))

    def exported(self, net: Any) -> "nn.Module":
        """The decoder alone."""
        part: nn.Module = net.generator()
        return part
