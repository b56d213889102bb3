"""Networks: `net(x_t, t, **cond) -> out`. They know channels and their own shape, nothing of schedules or losses."""

from ddpm_core.models.base import NetworkConfig
from ddpm_core.models.config import ModelConfig
from ddpm_core.models.unet_config import UNetConfig

CLASS_ROWS = "label.weight"
"""Where every network that is told classes keeps their embedding: a row a class, then the null row."""

__all__ = ["CLASS_ROWS", "ModelConfig", "NetworkConfig", "UNetConfig"]
