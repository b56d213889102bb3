"""Networks: `net(x_t, t, **cond) -> out`. They know channels and their own shape, nothing of schedules or losses."""

from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from ddpm_core.models.config import UNetConfig
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.unet import UNet

ModelConfig = UNetConfig
CLASS_ROWS = "label.weight"
"""Where every network that is told classes keeps their embedding: a row a class, then the null row."""

__all__ = ["CLASS_ROWS", "ModelConfig", "UNetConfig", "build_model"]


def build_model(config: ModelConfig, spec: DataSpec, conditional: bool, learned_variance: bool) -> "UNet":
    """The network of a configuration for data of this shape; torch's global generator draws its first weights."""
    from ddpm_core.models.unet import UNet

    if conditional and not spec.classes:
        raise ParamsError("a conditional model needs data with labels, and these have none; train an unconditional one")
    config.check_shape(spec.shape)
    channels, height, width = spec.shape
    return UNet(config, (channels, height, width), len(spec.classes) if conditional else 0, learned_variance)
