"""docs/maths.md: every row names a function and a test that exist, every block runs, every signature is the code's."""

import inspect
import re
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

import ddpm_core
from ddpm_core.diffusion import schedules as schedule
from ddpm_core.diffusion import time_law, weighting
from ddpm_core.diffusion.parameterisation import Parameterisation
from tests.mutants.table import full_path, slips

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "maths.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "::" in line]
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
SIGNATURES = re.findall(r"^# ([\w.]+)\((.*)\)$", "\n".join(BLOCKS), re.M)


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
        if function.split(".")[0] == "likelihood":
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


def test_every_block_runs_and_every_signature_is_the_codes():
    pytest.importorskip("torch")
    names = {"__name__": "maths"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"maths.md, block {number + 1}", "exec"), names)
    for dotted, written in SIGNATURES:
        first, *rest = dotted.split(".")
        found = resolve("likelihood.bound.Bound") if first == "Bound" else names.get(first)
        found = found if found is not None else getattr(ddpm_core, first)
        for name in rest:
            found = getattr(found, name)
        assert written == signature(found), dotted


def signature(function) -> str:
    """Names, and what stands in for those that may be left out."""
    words = []
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        shown = f"{type(default).__name__}.{default.name}" if isinstance(default, Enum) else repr(default)
        words.append(name if default is parameter.empty else f"{name}={shown}")
    return ", ".join(words)


def test_every_public_function_is_shown_with_a_call():
    functions = {name for name in ddpm_core.__all__ if inspect.isfunction(getattr(ddpm_core, name))}
    assert functions <= {dotted for dotted, _ in SIGNATURES}
    code = "\n".join(line for block in BLOCKS for line in block.splitlines() if not line.startswith("#"))
    assert [dotted for dotted, _ in SIGNATURES if f"{dotted.split('.')[-1]}(" not in code] == []


@pytest.mark.parametrize(
    "cls",
    [*(cls for union in (schedule.ScheduleConfig, weighting.WeightingConfig, time_law.TimeLawConfig)
       for cls in get_args(union)), Parameterisation],
)  # fmt: skip
def test_every_choice_says_in_its_docstring_what_it_is_for_and_one_line_of_use(schedule_of, cls):
    known = schedule_of("cosine")
    p = Parameterisation("v", known)
    (use,) = re.findall(r">>> (.*)", cls.__doc__)
    others = {"schedule": known, "parameterisation": p, "out": 0.0, "x_t": 0.0, "t": 1}
    assert eval(use, {cls.__name__: cls, **others}) is not None
    assert re.search(r"^    (For|Not) ", cls.__doc__, re.M)
