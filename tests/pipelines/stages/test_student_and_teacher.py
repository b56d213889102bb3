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
from tests.support.measured import SIDE, MeasuredParams, read
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec

SPEC = tiny_spec(side=SIDE)
BAKED = GuidanceConfig(0.6, None, 0.0)


@dataclass(frozen=True)
class StudentParams(MeasuredParams):
    diffusion: DistillationConfig | None = None


@pytest.fixture
def student(ready: Paths) -> StudentParams:
    """The project with a student as its model, and the parameters of its training."""
    teacher = tiny_bundle(ready.root / "data" / "teacher", spec=SPEC, model=tiny_graph(SPEC, seed=1))
    replace(tiny_bundle(ready.bundle, spec=SPEC), student=Student(teacher.digest, asdict(BAKED), None)).write(
        ready.bundle
    )
    told = TeacherConfig("data/teacher", teacher.digest)
    cosine = Cosine("cosine", 50, 0.008, 0.999, False)
    return StudentParams(
        diffusion=DistillationConfig("distillation", told, cosine, "v", BAKED, BakedGuidance("guidance", 0.8))
    )


def test_the_teacher_is_measured_as_by_itself_with_the_same_seeds(
    ready: Paths, student: StudentParams, tmp_path: Path
) -> None:
    evaluate.run(student, ready, NullTracker())
    evaluate.measure_bundle(student, ready, ready.root / "data" / "teacher", tmp_path / "alone", panels=False)
    beside = ready.samples / "teacher"
    for name in ("metrics.json", "record.json", "samples/images.npz"):
        assert (beside / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    kept = [np.load(folder / "images.npz") for folder in (ready.samples, beside / "samples")]
    for key in ("seeds", "labels"):
        assert kept[0][key].tolist() == kept[1][key].tolist()
    assert (kept[0]["images"] != kept[1]["images"]).any()
    assert "samples/teacher/metrics.json" in read(ready.record)["files"]  # bound by the student's own record


def test_the_report_shows_both_with_the_difference_of_every_number(ready: Paths, student: StudentParams) -> None:
    evaluate.run(student, ready, NullTracker())
    report.run(student, ready, NullTracker())
    html, markdown = ((ready.report / name).read_text() for name in ("index.html", "report.md"))
    numbers = [read(folder / "metrics.json") for folder in (ready.metrics.parent, ready.samples / "teacher")]
    for text in (html, markdown):
        assert "Student and teacher" in text
        assert "B: its teacher, bundle " in text
        assert "A - B" in text
    assert "fcd_diversity_class_min" in numbers[0]
    for name in ("energy_classifier", "fcd_diversity_class_min", "accuracy_asked"):
        row = next(line for line in markdown.splitlines() if line.startswith(f"| {name} |"))
        cells = [float(cell) for cell in row.split("|")[2:5]]
        assert cells[2] == pytest.approx(numbers[0][name] - numbers[1][name], abs=1e-3 + 1e-3 * abs(cells[0]))
    for letter in "AB":
        assert (ready.report / f"grid_{letter}.png").is_file()


def test_a_model_that_is_no_student_has_no_teacher(ready: Paths, student: StudentParams) -> None:
    tiny_bundle(ready.bundle, spec=SPEC)
    evaluate.run(student, ready, NullTracker())
    assert not (ready.samples / "teacher").exists()
    report.run(student, ready, NullTracker())
    assert "Student and teacher" not in (ready.report / "index.html").read_text()


def test_another_teacher_than_the_student_s_is_refused(ready: Paths, student: StudentParams) -> None:
    other = tiny_bundle(ready.root / "data" / "teacher", spec=SPEC, model=tiny_graph(SPEC, seed=2)).digest
    with pytest.raises(IntegrityError, match=f"data/teacher must hold the bundle .* got {other}"):
        evaluate.run(student, ready, NullTracker())
