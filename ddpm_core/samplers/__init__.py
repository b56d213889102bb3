"""The union of all samplers. A new one is a file here and a name below."""

from ddpm_core.samplers.ancestral import Ancestral
from ddpm_core.samplers.ddim import Ddim
from ddpm_core.samplers.dpmpp import Dpmpp1, Dpmpp2m, Dpmpp2s
from ddpm_core.samplers.dpmpp_3m import Dpmpp3m
from ddpm_core.samplers.euler import Euler
from ddpm_core.samplers.heun import Heun
from ddpm_core.samplers.heun_churn import HeunChurn
from ddpm_core.samplers.langevin import Langevin, PredictorCorrector
from ddpm_core.samplers.unipc import Unipc2

SamplerConfig = (
    Ancestral
    | Ddim
    | Dpmpp1
    | Dpmpp2m
    | Dpmpp2s
    | Dpmpp3m
    | Unipc2
    | Heun
    | HeunChurn
    | Euler
    | Langevin
    | PredictorCorrector
)
