"""What stage reference is asked for."""

from dataclasses import dataclass

from ddpm_core.checks import Config


@dataclass(frozen=True)
class ReferenceConfig(Config):
    """No keys yet."""
