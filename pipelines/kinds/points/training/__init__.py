"""Points in training: nothing is changed before the network sees them, and the first batch is looked at."""

from dataclasses import dataclass

from ddpm_core.checks import Config


@dataclass(frozen=True)
class AugmentConfig(Config):
    """No keys: a point moved is another point."""
