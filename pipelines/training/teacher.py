"""The teacher of a distillation: a bundle whose network answers what the student learns."""

from pathlib import Path

import numpy as np
from torch import nn

from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.objectives.distillation_config import DistillationConfig, TeacherConfig
from ddpm_core.spec import DataSpec
from pipelines.sampling.torch_denoiser import network_of


def open_teacher(config: DistillationConfig, spec: DataSpec, root: Path) -> nn.Module:
    """The network of the teacher's bundle, frozen; an error where it cannot teach a student of these parameters."""
    bundle = read_teacher(config.teacher, root)
    refuse_misfit(bundle, config, spec)
    return network_of(bundle)


def read_teacher(told: TeacherConfig, root: Path) -> Bundle:
    """The teacher's bundle, verified by the digest that the parameters give."""
    folder = root / told.path
    if not (folder / "bundle.json").is_file():
        raise ParamsError(f"diffusion.teacher.path: must be a bundle's folder; no bundle.json in {folder}")
    bundle = read_bundle(folder)
    if bundle.digest != told.sha256:
        raise IntegrityError(
            f"diffusion.teacher: {told.path} must have the SHA-256 {told.sha256}, got {bundle.digest}; if this is the "
            "right bundle (the digest is that of its bundle.json), write its digest into params.yaml"
        )
    return bundle


def refuse_misfit(bundle: Bundle, config: DistillationConfig, spec: DataSpec) -> None:
    """ParamsError that says in what teacher and student do not fit."""
    mine, its = config.parameterisation().schedule, bundle.schedule
    tables = ((mine.a, its.a), (mine.g, its.g), (mine.time, its.time))
    same = mine.T == its.T and all(np.array_equal(one, other) for one, other in tables)
    faults = [] if same else ["diffusion.schedule: must be that of the teacher"]
    if config.target != bundle.target:
        faults.append(f"diffusion.target: must be the teacher's {bundle.target}, got {config.target}")
    if bundle.learned_variance:
        faults.append("diffusion.teacher: must have a fixed variance, got a learned one")
    if bundle.procedure is not None:
        faults.append("diffusion.teacher: must be sampled in one loop, got one that is sampled column by column")
    if (bundle.spec.shape, dict(bundle.spec.conditions)) != (spec.shape, dict(spec.conditions)):
        faults.append(
            f"data: must have the teacher's shape and conditions, {bundle.spec.shape} and "
            f"{sorted(bundle.spec.conditions)}, got {spec.shape} and {sorted(spec.conditions)}"
        )
    student = bundle.student
    if student is not None and config.guidance.weight:
        faults.append(
            f"diffusion.guidance.weight: must be 0 for a teacher that is a student itself, as guidance "
            f"{student.guidance['weight']:g} is in its answers, got {config.guidance.weight:g}"
        )
    if student is not None and student.sampler is not None:
        faults.append("diffusion.teacher: must be valid at every level, got a student of some levels alone")
    if faults:
        raise ParamsError("; ".join(faults))
