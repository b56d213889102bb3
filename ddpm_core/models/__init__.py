"""Networks: `net(x_t, t, **cond) -> out`. They know channels and their own shape, nothing of schedules or losses."""

from ddpm_core.models.base import NetworkConfig
from ddpm_core.models.config import ModelConfig
from ddpm_core.models.unet_config import UNetConfig

__all__ = ["ModelConfig", "NetworkConfig", "UNetConfig"]
