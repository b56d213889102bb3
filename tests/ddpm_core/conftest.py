"""One example of every schedule and sampler there is; a new member of a union without an example fails by name."""

from collections.abc import Callable
from typing import Any

import pytest

from ddpm_core.diffusion import schedules
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.config import named

SCHEDULES: dict[str, Callable[[int], Any]] = {
    "linear": lambda T: schedules.Linear("linear", T, 1e-4, 0.02, True, False),
    "quadratic": lambda T: schedules.Quadratic("quadratic", T, 1e-4, 0.02, True, False),
    "cosine": lambda T: schedules.Cosine("cosine", T, 0.008, 0.999, False),
    "shifted_cosine": lambda T: schedules.ShiftedCosine("shifted_cosine", T, 128, 64, -15.0, 15.0, False),
    "sigmoid": lambda T: schedules.Sigmoid("sigmoid", T, -3.0, 3.0, 1.0, 1e-9, False),
    "vp_continuous": lambda T: schedules.VpContinuous("vp_continuous", T, 0.1, 20.0, False),
    "geometric_ve": lambda T: schedules.GeometricVE("geometric_ve", T, 0.01, 50.0, 0.5),
    "edm": lambda T: schedules.Edm("edm", T, 0.002, 80.0, 7.0, 0.5),
    "rectified_flow": lambda T: schedules.RectifiedFlow("rectified_flow", T),
    "cosine_zero_snr": lambda T: schedules.Cosine("cosine", T, 0.008, 0.999, True),
    "linear_zero_snr": lambda T: schedules.Linear("linear", T, 1e-4, 0.02, True, True),
}


@pytest.fixture(scope="session")
def schedule_of() -> Callable[[str, int], Schedule]:
    """(name, T) -> an example of that schedule, built anew, so that each test sees what the code builds now."""

    def get(name: str, T: int = 1000) -> Schedule:
        built: Schedule = SCHEDULES[name](T).build()
        return built

    return get


@pytest.fixture(scope="session")
def sampler_of() -> Callable[..., SamplerConfig]:
    """(kind, steps, **fields) -> that sampler, with conventional values and no bound."""

    def get(kind: str, steps: int, spacing: str = "trailing", **others: Any) -> SamplerConfig:
        from dataclasses import replace

        return replace(named(kind, steps, None), spacing=spacing, bound="none", **others)

    return get
