"""`ddpm variants`: its options."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.commands.variants import default_limit
from tests.support.imports import ROOT
from tests.support.students import anywhere
from tests.support.tiny_bundle import tiny_bundle


def test_a_student_may_err_less_than_its_teacher(tmp_path: Path) -> None:
    teacher = tiny_bundle(tmp_path)
    assert 0 < default_limit(replace(teacher, student=anywhere())) < default_limit(teacher)


@pytest.mark.parametrize("option", ["--limit=0", "--limit=1", "--calibrate=0", "--compare=0", "--batches=1,a"])
def test_options_out_of_range_are_told(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--project", str(ROOT), "variants", option]) == 2
    assert option.partition("=")[0] in capsys.readouterr().err
