"""The public names that need torch, each a real import: `d.bound` of `import ddpm_core as d` loads this module.

A name here stands in `ddpm_core.TORCH_NAMES` too, so that to look for a name loads no torch.
"""

from ddpm_core.likelihood.bound import bound as bound
from ddpm_core.likelihood.bound import estimate_x0_variance as estimate_x0_variance
from ddpm_core.likelihood.bound import first_step as first_step
from ddpm_core.likelihood.ode import ode_levels as ode_levels
from ddpm_core.likelihood.ode import ode_log_likelihood as ode_log_likelihood
from ddpm_core.objectives.batch import Batch as Batch
from ddpm_core.objectives.diffusion import DiffusionObjective as DiffusionObjective
from ddpm_core.tensors.denoiser import bind as bind
from ddpm_core.tensors.denoiser import bind_guided as bind_guided
from ddpm_core.tensors.process import Process as Process
