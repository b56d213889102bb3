"""`ddpm variants`: its options."""

import pytest

from pipelines.cli import main
from tests.support.imports import ROOT


@pytest.mark.parametrize("option", ["--limit=0", "--limit=1", "--calibrate=0", "--compare=0", "--batches=1,a"])
def test_options_out_of_range_are_told(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--project", str(ROOT), "variants", option]) == 2
    assert option.partition("=")[0] in capsys.readouterr().err
