"""Every row of docs/maths.md names a function that exists and a test that exists."""

import re
from importlib import import_module
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROWS = [
    line
    for line in (TESTS.parents[1] / "docs" / "maths.md").read_text().splitlines()
    if line.startswith("| ") and "::" in line
]


def resolve(dotted: str) -> object:
    """A module's attribute, and attributes of that, below ddpm_core."""
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found = import_module(".".join(["ddpm_core", *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = getattr(found, name)
        return found
    raise LookupError(dotted)


def test_there_are_rows():
    assert len(ROWS) > 60


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_row_resolves(row):
    names = re.findall(r"`([^`]+)`", row)
    functions, tests = [n for n in names if "::" not in n], [n for n in names if "::" in n]
    assert len(tests) == 1
    file, test = tests[0].split("::")
    assert re.search(rf"^def {test}\(", (TESTS / file).read_text(), re.M), tests[0]
    for function in functions:
        if function.split(".")[0] in ("bound", "likelihood", "ode_likelihood"):
            pytest.importorskip("torch")
        assert resolve(function) is not None
