"""Section `diffusion` with `kind: distillation`: a student learns the answers of a trained bundle's network."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddpm_core.bundle.student import Student
from ddpm_core.checks import Checks, Config, at_least_1, fraction
from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.plan import Bound
from ddpm_core.diffusion.schedules import ScheduleConfig
from ddpm_core.diffusion.spacing import Levels, fault_of_levels, spaced_levels
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.errors import ParamsError
from ddpm_core.objectives.base_config import BaseObjectiveConfig
from ddpm_core.samplers.config import GuidanceConfig
from ddpm_core.samplers.unipc import Unipc2
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ddpm_core.objectives.base import Objective
    from ddpm_core.objectives.batch import LabelDropout


@dataclass(frozen=True)
class TeacherConfig(Config):
    """The bundle of a teacher; with the digest of its bundle.json as a parameter, another one is another training."""

    path: str
    sha256: str
    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v), "the path of a bundle, from the project's folder"),
        "sha256": (lambda v: len(v) == 64 and not set(v) - set("0123456789abcdef"), "64 hexadecimal digits"),
    }


@dataclass(frozen=True)
class BakedGuidance(Config):
    """The student answers at every level as the guided teacher does, in one evaluation in place of two."""

    kind: Literal["guidance"]
    inside: float
    __checks__: ClassVar[Checks] = {"inside": fraction}


@dataclass(frozen=True)
class TrajectoryRegression(Config):
    """The student walks the guided teacher's trajectories in fewer steps, and is valid at its own levels alone."""

    kind: Literal["trajectories"]
    number: int
    steps: int
    levels: Levels
    bound: Bound
    __checks__: ClassVar[Checks] = {"number": at_least_1, "steps": at_least_1}

    def faults(self) -> list[str]:
        fault = fault_of_levels(self.levels, max(1, len(self.levels) - 1))
        return [] if fault is None else [fault.replace("spacing", "levels", 1)]

    @property
    def student(self) -> Unipc2:
        """The student's sampler."""
        return Unipc2(len(self.levels) - 1, self.levels, self.bound, "unipc_2")

    @property
    def teacher(self) -> Unipc2:
        """The teacher's sampler."""
        return Unipc2(self.steps, "trailing", self.bound, "unipc_2")


@dataclass(frozen=True)
class DistillationConfig(BaseObjectiveConfig):
    """The squared error from the answers of a frozen teacher, with guidance in its answers."""

    kind: Literal["distillation"]
    teacher: TeacherConfig
    schedule: ScheduleConfig
    target: Target
    guidance: GuidanceConfig
    method: BakedGuidance | TrajectoryRegression

    variance: ClassVar[VarianceName] = "fixed_small"

    def faults(self) -> list[str]:
        if isinstance(self.method, BakedGuidance):
            return []
        visited = spaced_levels("trailing", self.schedule.build(), self.method.steps)
        if self.method.levels[0] == self.levels and set(self.method.levels) <= set(visited):
            return []
        return [
            f"method.levels: must begin at {self.levels} and be among those of the teacher's {self.method.steps} steps "
            f"({visited}), got {list(self.method.levels)}"
        ]

    @property
    def levels(self) -> int:
        return self.schedule.T

    def parameterisation(self) -> Parameterisation:
        return Parameterisation(self.target, self.schedule.build())

    @property
    def only_sampler(self) -> Unipc2 | None:
        """The one sampler that the student is valid for; None: any."""
        return self.method.student if isinstance(self.method, TrajectoryRegression) else None

    def student(self) -> Student:
        own = self.only_sampler
        sampler: dict[str, Any] | None = None
        if own is not None:
            sampler = {"kind": own.kind, "levels": list(own.spacing), "bound": own.bound}
        return Student(self.teacher.sha256, asdict(self.guidance), sampler)

    def build(self, spec: DataSpec, dropout: "LabelDropout | None") -> "Objective":
        raise ParamsError("diffusion.kind: distillation needs its teacher's network; build it by `build_taught`")

    def build_taught(self, spec: DataSpec, teacher: "nn.Module", dtype: "torch.dtype") -> "Objective":
        """The objective with its teacher's network, which is on the device that trains and computes in `dtype`."""
        from ddpm_core.objectives.distillation import build_distillation

        return build_distillation(self, spec, teacher, dtype)
