"""A bundle of a student: what it was not trained for is refused by name, and it tells of its teacher."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.bundle.format import read_bundle
from ddpm_core.bundle.student import Student
from ddpm_core.errors import ParamsError
from pipelines.sampling.editing import Editor
from tests.support.students import anywhere, at_levels, student


@pytest.mark.parametrize("told", [anywhere(), at_levels()])
def test_a_bundle_tells_its_teacher_and_gives_it_back(tmp_path: Path, told: Student) -> None:
    opened = student(tmp_path / "b", told)
    kept = read_bundle(tmp_path / "b").student
    assert kept is not None
    assert json.dumps(asdict(kept), sort_keys=True) == json.dumps(asdict(told), sort_keys=True)
    assert opened.check_golden() == "equal"
    assert opened.recipe().plan.t.tolist() == [50, 25]
    plain = read_bundle(tmp_path / "b")
    assert replace(plain, student=None).digest != plain.digest


@pytest.mark.parametrize("told", [anywhere(), at_levels()])
def test_a_student_is_not_guided_again(tmp_path: Path, told: Student) -> None:
    opened = student(tmp_path / "b", told)
    with pytest.raises(ParamsError, match=r"guidance: must be 0 for a student.*\(0.6\).*got 0.5"):
        opened.recipe(guidance=0.5)


def test_a_student_of_some_levels_is_refused_elsewhere_by_name(tmp_path: Path) -> None:
    opened = student(tmp_path / "b", at_levels())
    others = [
        ({"steps": 3}, r"unipc_2 over the levels \[50, 25, 0\].*got unipc_2 over \[50, 33, 17, 0\]"),
        ({"sampler": "ddim"}, r"unipc_2 over the levels \[50, 25, 0\].*got ddim over \[50, 25, 0\]"),
        ({"sampler": replace(opened.defaults.sampler, bound="none")}, r"with bound clip.*with bound none"),
    ]
    for choice, message in others:
        with pytest.raises(ParamsError, match=message):
            opened.recipe(**choice)  # type: ignore[arg-type]
    same = opened.recipe("unipc_2", 2, 0.0)
    assert same.plan.to_dict() == opened.recipe().plan.to_dict()
    editor = Editor(opened, same, 1, {"label": [0]})
    with pytest.raises(ParamsError, match=r"vary: needs a model that is valid at any level.*\[50, 25, 0\]"):
        editor.vary(np.zeros((1, 8, 8), np.uint8), [0], 0.5)


def test_a_student_with_guidance_in_its_answers_takes_any_steps(tmp_path: Path) -> None:
    opened = student(tmp_path / "b", anywhere())
    assert opened.recipe("ddim", 7).cost(1) == 7
