"""Series in training: what an imputing network is told of a window, and a look at the first batch."""

from dataclasses import dataclass

from ddpm_core.checks import Config


@dataclass(frozen=True)
class AugmentConfig(Config):
    """No keys yet."""
