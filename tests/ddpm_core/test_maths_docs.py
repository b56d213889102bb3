"""Every row of docs/maths.md names a function that exists and a test that exists; of a slip, all that fail on it."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.mutants.table import full_path, slips

ROOT = Path(__file__).parents[2]
ROWS = [
    line for line in (ROOT / "docs" / "maths.md").read_text().splitlines() if line.startswith("| ") and "::" in line
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
    assert len(ROWS) > 70


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_row_resolves(row):
    names = re.findall(r"`([^`]+)`", row)
    functions, tests = [n for n in names if "::" not in n], [n for n in names if "::" in n]
    assert len(tests) == 1 if functions else len(tests) >= 1
    for test in tests:
        file, name = full_path(test).split("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M), test
    for function in functions:
        if function.split(".")[0] in ("bound", "likelihood", "ode_likelihood"):
            pytest.importorskip("torch")
        assert resolve(function) is not None


def test_every_known_slip_has_its_row():
    """The slips of study notes and of other software: of each, the word that its row must have."""
    words = (
        *("product to t - 1", "up to 0.002", "same noise", "alpha_t - 1}", "without the root", "root over", "t = 0"),
        *("+1/2", "exponent", "without its minus", "x_{t-1})$ in place", "two residual blocks", "clipping", "bfloat16"),
        *("by a stride", "1e-20", "as a standard deviation", "EMA", "batch's size", "last batch dropped"),
    )
    assert [word for word in words if not any(word in slip for slip in slips())] == []
