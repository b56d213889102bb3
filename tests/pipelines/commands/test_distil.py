"""`ddpm distil`: what its options come to, and those that it refuses."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ddpm_core.bundle.student import Student
from ddpm_core.errors import ParamsError
from ddpm_core.objectives.distillation_config import DistillationConfig
from ddpm_core.samplers.config import GuidanceConfig
from pipelines.cli import main
from pipelines.commands import distil
from pipelines.params import load_params
from pipelines.paths import Paths
from tests.support.imports import ROOT
from tests.support.students import anywhere
from tests.support.tiny_bundle import tiny_bundle, tiny_sample_config, tiny_spec, tiny_unet

TRAJECTORIES = ("--method", "trajectories", "--levels", "1000,500,0")
TEACHERS = GuidanceConfig(0.6, (0.25, 0.9), 0.0)


def baked(tmp_path: Path, *words: str, told: Student | None = None) -> GuidanceConfig:
    """The guidance in the answers of a student, by these options, of a teacher with the guidance TEACHERS."""
    network = {"model": asdict(tiny_unet(tiny_spec()).config)}
    sample = replace(tiny_sample_config(), guidance=TEACHERS)
    teacher = tiny_bundle(tmp_path / "teacher", sample=sample, provenance=network)
    teacher = replace(teacher, student=told)
    parser = argparse.ArgumentParser()
    distil.add_to(parser.add_subparsers())
    args = parser.parse_args(["distil", "--teacher", "teacher", "--out", str(tmp_path / "out"), *words])
    asked = distil.asked_of(args, Paths.of(ROOT))
    diffusion = distil.student_params(load_params(ROOT / "params.yaml"), teacher, asked).diffusion
    assert isinstance(diffusion, DistillationConfig)
    return diffusion.guidance


@pytest.mark.parametrize(
    ("words", "weight"),
    [
        ((), 0.45),
        (TRAJECTORIES, 0.6),
        (("--guidance", "0.3"), 0.3),
        ((*TRAJECTORIES, "--guidance", "0"), 0.0),
    ],
)
def test_a_student_has_its_share_of_the_teacher_s_guidance(
    words: tuple[str, ...], weight: float, tmp_path: Path
) -> None:
    assert baked(tmp_path, *words) == replace(TEACHERS, weight=weight)


def test_guidance_of_a_teacher_that_is_a_student_is_refused_by_the_option(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"--guidance: must be 0 for a teacher that is a student itself.*got 0\.3"):
        baked(tmp_path, "--guidance", "0.3", told=anywhere())
    assert baked(tmp_path, "--guidance", "0", told=anywhere()).weight == 0


@pytest.mark.parametrize("option", ["--guidance=-0.1", "--guidance=inf", "--guidance=nan", "--updates=1", "--seed=-1"])
def test_options_out_of_range_are_told(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--project", str(ROOT), "distil", "--teacher", str(tmp_path), "--out", str(tmp_path / "out"), option]
    assert main(command) == 2
    assert option.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("levels", ["1000,500", "500,1000,0", "a,0", "0", ""])
def test_levels_of_a_student_are_told(levels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    command = ["--project", str(ROOT), "distil", "--teacher", str(tmp_path), "--out", out, "--levels", levels]
    assert main(command) == 2
    assert "--levels" in capsys.readouterr().err
