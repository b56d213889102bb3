"""The objectives that section `diffusion` chooses from by `kind`: a new one is a file beside this and its name here."""

from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.objectives.distillation_config import DistillationConfig
from ddpm_core.objectives.elbo_config import ElboConfig

ObjectiveConfig = DiffusionConfig | ElboConfig | DistillationConfig
