"""The teacher of a distillation: part of a training's identity, and refused by name where it cannot teach."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_core.bundle.student import Student
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.objectives.distillation_config import (
    BakedGuidance,
    DistillationConfig,
    TeacherConfig,
    TrajectoryRegression,
)
from ddpm_core.samplers.config import GuidanceConfig, named
from ddpm_core.training.run_folders import key_of
from pipelines.params import Params, _judge_together, load_params
from pipelines.parsing import Faults
from pipelines.training.setup import training_identity
from pipelines.training.teacher import read_teacher, refuse_misfit
from tests.support.imports import ROOT
from tests.support.tiny_bundle import tiny_bundle, tiny_spec

COSINE = Cosine("cosine", 50, 0.008, 0.999, False)
GUIDED, BAKED = GuidanceConfig(0.6, (0.25, 0.9), 0.0), BakedGuidance("guidance", 0.8)


def config(digest: str = "0" * 64, **changes: Any) -> DistillationConfig:
    return replace(
        DistillationConfig("distillation", TeacherConfig("b", digest), COSINE, "v", GUIDED, BAKED), **changes
    )


def params_of(diffusion: DistillationConfig, **changes: Any) -> Params:
    given = load_params(ROOT / "params.yaml")
    sample = replace(given.sample, guidance=replace(given.sample.guidance, weight=0.0))
    return replace(given, diffusion=diffusion, **{"sample": sample, **changes})


def test_another_teacher_is_another_training() -> None:
    def key(digest: str) -> str:
        return key_of(
            training_identity(params_of(config(digest)), "pictures", "d", torch.device("cpu"), "fp32", 1, False)
        )

    assert key("0" * 64) == key("0" * 64) != key("1" * 64)


def test_the_digest_in_the_parameters_must_be_the_bundles(tmp_path: Path) -> None:
    digest = tiny_bundle(tmp_path / "b").digest
    assert read_teacher(TeacherConfig("b", digest), tmp_path).digest == digest
    with pytest.raises(IntegrityError, match=f"diffusion.teacher: b must have the SHA-256 {'0' * 64}, got {digest}"):
        read_teacher(TeacherConfig("b", "0" * 64), tmp_path)
    with pytest.raises(ParamsError, match=r"diffusion.teacher.path: must be a bundle's folder"):
        read_teacher(TeacherConfig("none", digest), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": replace(COSINE, s=0.01)}, r"diffusion.schedule: must be that of the teacher"),
        ({"target": "x0"}, r"diffusion.target: must be the teacher's v, got x0"),
    ],
)
def test_parameters_that_do_not_fit_the_teacher_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    refuse_misfit(bundle, config(), tiny_spec())
    with pytest.raises(ParamsError, match=message):
        refuse_misfit(bundle, config(**changes), tiny_spec())


def test_a_teacher_of_other_data_or_that_cannot_teach_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    with pytest.raises(ParamsError, match=r"data: must have the teacher's shape and conditions"):
        refuse_misfit(bundle, config(), tiny_spec(side=16))
    with pytest.raises(ParamsError, match=r"diffusion.teacher: must have a fixed variance"):
        refuse_misfit(tiny_bundle(tmp_path / "c", variance="learned"), config(), tiny_spec())
    anywhere = replace(bundle, student=Student("a" * 64, asdict(GUIDED), None))
    with pytest.raises(ParamsError, match=r"diffusion.guidance.weight: must be 0 .* guidance 0.6 .*, got 0.6"):
        refuse_misfit(anywhere, config(), tiny_spec())
    refuse_misfit(anywhere, config(guidance=replace(GUIDED, weight=0.0)), tiny_spec())
    at_levels = replace(bundle, student=Student("a" * 64, asdict(GUIDED), {"levels": [50, 0]}))
    with pytest.raises(ParamsError, match=r"diffusion.teacher: must be valid at every level"):
        refuse_misfit(at_levels, config(guidance=replace(GUIDED, weight=0.0)), tiny_spec())


def test_sections_that_a_student_cannot_have_are_told_together() -> None:
    walked = TrajectoryRegression("trajectories", 10, 2, (50, 25, 0), "clip")
    given = load_params(ROOT / "params.yaml")
    faults = Faults()
    _judge_together(
        params_of(config(method=walked), sample=given.sample, train=replace(given.train, hold_out=64)), faults
    )
    assert [line.partition(":")[0] for line in faults.lines] == [
        "sample.guidance.weight", "train.hold_out", "sample.sampler"
    ]  # fmt: skip
    fitting = replace(given.sample, guidance=replace(GUIDED, weight=0.0), sampler=walked.student)
    faults = Faults()
    _judge_together(params_of(config(method=walked), sample=fitting), faults)
    assert faults.lines == []
    above = replace(fitting, sampler=replace(named("ddim", 1, None), spacing=(51, 0)))
    _judge_together(params_of(config(), sample=above), faults)
    assert [line.partition(":")[0] for line in faults.lines] == ["sample.sampler.spacing"]
