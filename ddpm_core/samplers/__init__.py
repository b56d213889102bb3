"""The samplers, one file each, and their union: a new one is a file here, an import and a name in `SamplerConfig`."""

from ddpm_core.samplers.ancestral import Ancestral as Ancestral
from ddpm_core.samplers.ddim import Ddim as Ddim
from ddpm_core.samplers.dpmpp import Dpmpp1 as Dpmpp1
from ddpm_core.samplers.dpmpp import Dpmpp2m as Dpmpp2m
from ddpm_core.samplers.dpmpp import Dpmpp2s as Dpmpp2s
from ddpm_core.samplers.dpmpp_3m import Dpmpp3m as Dpmpp3m
from ddpm_core.samplers.euler import Euler as Euler
from ddpm_core.samplers.heun import Heun as Heun
from ddpm_core.samplers.heun_churn import HeunChurn as HeunChurn
from ddpm_core.samplers.langevin import Langevin as Langevin
from ddpm_core.samplers.langevin import PredictorCorrector as PredictorCorrector
from ddpm_core.samplers.unipc import Unipc2 as Unipc2

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
