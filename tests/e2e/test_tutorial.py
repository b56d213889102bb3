"""The tutorial's cells, run one after another as a notebook runs them, with fewer steps."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.imports import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def cells() -> list[str]:
    notebook = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(cell: str, names: dict[str, Any]) -> Any:
    """The value of the last line, which a notebook shows."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_every_cell_runs_and_shows_what_the_text_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    few = {'"train.steps": 400': '"train.steps": 20, "train.warmup_steps": 5'}
    shown: dict[str, Any] = {}
    for cell in cells():
        for old, new in few.items():
            cell = cell.replace(old, new)
        shown[cell.splitlines()[-1]] = run(cell, names)
    assert shown["verdict.headline"].startswith("looks like the data: ")
    assert shown["project.grid"]._repr_png_().startswith(b"\x89PNG")
    assert shown["project.report"].is_file()
    assert shown["eights.data.shape"] == (64, 1, 28, 28)
    assert shown["project.sample(8, label=7, seed=0)"]._repr_png_().startswith(b"\x89PNG")
    assert (tmp_path / "eights.png").is_file()
    assert (tmp_path / "model" / "bundle.json").is_file()
    names["project"].run()  # the second run finds nothing to do
