"""A project whose model is a student: its teacher is measured with the same seeds, and the report shows both."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.bundle.student import Student
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.errors import IntegrityError
from ddpm_core.objectives.distillation_config import BakedGuidance, DistillationConfig, TeacherConfig
from ddpm_core.samplers.config import GuidanceConfig
from pipelines.paths import Paths
from pipelines.stages import evaluate, report
from pipelines.tracking.tracker import NullTracker
from tests.pipelines.stages.conftest import copy_of
from tests.support.measured import SIDE, MeasuredParams, read
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec

SPEC = tiny_spec(side=SIDE)
BAKED = GuidanceConfig(0.6, None, 0.0)


@dataclass(frozen=True)
class StudentParams(MeasuredParams):
    diffusion: DistillationConfig | None = None


def with_student(paths: Paths) -> StudentParams:
    """The project has a student as its model from now on; the parameters of its training."""
    teacher = tiny_bundle(paths.root / "data" / "teacher", spec=SPEC, model=tiny_graph(SPEC, seed=1))
    told = Student(teacher.digest, asdict(BAKED), None)
    replace(tiny_bundle(paths.bundle, spec=SPEC), student=told).write(paths.bundle)
    config = TeacherConfig("data/teacher", teacher.digest)
    cosine = Cosine("cosine", 50, 0.008, 0.999, False)
    return StudentParams(
        diffusion=DistillationConfig("distillation", config, cosine, "v", BAKED, BakedGuidance("guidance", 0.8))
    )


@pytest.fixture(scope="module")
def both(labelled_project: Paths, tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, StudentParams]:
    """A project after stage report; no test changes it."""
    paths = copy_of(labelled_project, tmp_path_factory.mktemp("both") / "project")
    params = with_student(paths)
    evaluate.run(params, paths, NullTracker())
    report.run(params, paths, NullTracker())
    return paths, params


def test_the_teacher_is_measured_as_by_itself_with_the_same_seeds(
    both: tuple[Paths, StudentParams], tmp_path: Path
) -> None:
    paths, params = both
    evaluate.measure_bundle(params, paths, paths.root / "data" / "teacher", tmp_path / "alone", panels=False)
    beside = paths.samples / "teacher"
    for name in ("metrics.json", "record.json", "samples/images.npz"):
        assert (beside / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    kept = [np.load(folder / "images.npz") for folder in (paths.samples, beside / "samples")]
    for key in ("seeds", "labels"):
        assert kept[0][key].tolist() == kept[1][key].tolist()
    assert (kept[0]["images"] != kept[1]["images"]).any()
    assert "samples/teacher/metrics.json" in read(paths.record)["files"]  # bound by the student's own record


def test_the_report_shows_both_with_the_difference_of_every_number(both: tuple[Paths, StudentParams]) -> None:
    paths, _ = both
    html, markdown = ((paths.report / name).read_text() for name in ("index.html", "report.md"))
    numbers = [read(folder / "metrics.json") for folder in (paths.metrics.parent, paths.samples / "teacher")]
    for text in (html, markdown):
        assert "Student and teacher" in text
        assert "B: its teacher, bundle " in text
        assert "A - B" in text
    for name in ("energy_classifier", "fcd_diversity_class_min", "accuracy_asked"):
        row = next(line for line in markdown.splitlines() if line.startswith(f"| {name} |"))
        cells = [float(cell) for cell in row.split("|")[2:5]]
        assert cells[2] == pytest.approx(numbers[0][name] - numbers[1][name], abs=1e-3 + 1e-3 * abs(cells[0]))
    for letter in "AB":
        assert (paths.report / f"grid_{letter}.png").is_file()


def test_a_model_that_is_no_student_has_no_teacher(measured: Paths, bad: Paths) -> None:
    params = with_student(bad)
    tiny_bundle(bad.bundle, spec=SPEC)  # the model of `measured`
    assert evaluate.teacher_of(params, bad) is None
    assert not (measured.samples / "teacher").exists()
    report.run(params, bad, NullTracker())
    assert "Student and teacher" not in (bad.report / "index.html").read_text()


def test_another_teacher_than_the_student_s_is_refused(ready: Paths) -> None:
    params = with_student(ready)
    assert evaluate.teacher_of(params, ready) == ready.root / "data" / "teacher"
    other = tiny_bundle(ready.root / "data" / "teacher", spec=SPEC, model=tiny_graph(SPEC, seed=2)).digest
    with pytest.raises(IntegrityError, match=f"data/teacher must hold the bundle .* got {other}"):
        evaluate.run(params, ready, NullTracker())
