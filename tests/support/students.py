"""Small students: valid at any level, or at a few alone."""

from dataclasses import asdict, replace
from pathlib import Path

from ddpm_core.bundle.student import Student
from ddpm_core.samplers.config import GuidanceConfig, named
from pipelines.sampling.bundle_sampler import Sampler
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_sample_config, tiny_spec

LEVELS = (50, 25, 0)
BAKED = asdict(GuidanceConfig(0.6, (0.25, 0.9), 0.0))


def anywhere(teacher: str = "a" * 64) -> Student:
    """Valid at any level."""
    return Student(teacher, BAKED, None)


def at_levels(teacher: str = "a" * 64) -> Student:
    """Valid at LEVELS alone."""
    return Student(teacher, BAKED, {"kind": "unipc_2", "levels": list(LEVELS), "bound": "clip"})


def student(folder: Path, told: Student, steps: int = 2, seed: int = 0) -> Sampler:
    """A bundle that is told so, sampled over LEVELS, or in other trailing steps."""
    own = replace(named("unipc_2", steps, None), spacing=LEVELS if steps == 2 else "trailing")
    sample = replace(tiny_sample_config(), sampler=own)
    bundle = tiny_bundle(folder, sample=sample, model=tiny_graph(tiny_spec(), seed=seed))
    bundle = replace(bundle, student=told)
    replace(bundle, golden=Sampler(bundle, "cpu").make_golden(3, 1.0)).write(folder)
    return Sampler.open(folder, "cpu")
