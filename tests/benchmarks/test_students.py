"""benchmarks/students.py: its table."""

import importlib
from types import ModuleType

import pytest

from tests.support.imports import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("students")


def test_the_table_has_each_seed_their_mean_and_the_differences_from_the_teacher(script: ModuleType) -> None:
    def row(kind: str, seed: str, e: float) -> dict[str, str]:
        numbers = dict.fromkeys(script.COLUMNS, "0.5") | {
            "energy_classifier": str(e),
            "evaluations": "2",
            "cpu_s": "40",
        }
        return numbers | {"kind": kind, "seed": seed, "energy_classifier_low": "0.01", "energy_classifier_high": "0.03"}

    kind = "trajectories of 2"
    teacher = row("teacher", "", 0.1) | {"evaluations": "17", "cpu_s": ""}
    lines = script.table([teacher, row(kind, "0", 0.12), row(kind, "1", 0.16)]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head, _, *body = cells
    e, difference = head.index("e"), head.index("e, difference")
    assert [line[0] for line in body] == ["teacher", f"{kind}, seed 0", f"{kind}, seed 1", f"{kind}, mean"]
    assert [line[1] for line in body] == ["17", "2", "2", "2"]
    assert [line[2] for line in body] == ["", "40", "40", "40"]
    assert [line[e] for line in body] == ["0.1", "0.12", "0.16", "0.14"]
    assert [line[difference] for line in body] == ["", "0.02 (0.01 to 0.03)", "0.06 (0.01 to 0.03)", "0.04"]
