"""The faults that `make test-mutants` plants, each in a real module and one at a time, as faults/ lists them."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "faults"
MATHS_PAGE = ROOT / "docs" / "maths.md"
SLIPS_HEADING = "## Slips to keep out"


class FaultError(Exception):
    """The table no longer fits the code that it is about."""


@dataclass(frozen=True)
class Fault:
    """`old` stands once in `file` and becomes `new`; `slip` is the row of docs/maths.md whose test must notice it.

    `tests` are shown it first, where those of its file would take long. `survives` says why no test can notice, where
    that is so.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()
    slip: str | None = None
    survives: str | None = None

    def planted(self, root: Path) -> str:
        """The text of the file with the fault in it."""
        text = (root / self.file).read_text(encoding="utf-8")
        found = text.count(self.old)
        if found != 1:
            raise FaultError(
                f"fault {self.name}: its old text must stand in {self.file} exactly once, found {found}; the code has "
                f"moved on, so write the fault anew in tests/mutants/faults/: {self.old.strip()!r}"
            )
        return text.replace(self.old, self.new)


def faults() -> list[Fault]:
    """All of them, in the order of the files."""
    return [
        Fault(**{**entry, "tests": tuple(entry.get("tests", ()))})
        for file in sorted(FOLDER.glob("*.toml"))
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["fault"]
    ]


def named_tests(fault: Fault) -> list[str]:
    """The tests that it is shown first; a slip must be noticed by one of these, which its row names."""
    return slips().get(fault.slip, []) if fault.slip else list(fault.tests)


def named(names: list[str]) -> list[Fault]:
    """Those of these names; none given, all."""
    known = {fault.name: fault for fault in faults()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise FaultError(f"no fault is called {', '.join(unknown)}; `--list` shows the {len(known)} there are")
    return [known[name] for name in names] if names else list(known.values())


def slips() -> dict[str, list[str]]:
    """The rows of docs/maths.md on known slips: what goes wrong -> the tests that fail on it, by their full paths."""
    page = MATHS_PAGE.read_text(encoding="utf-8")
    return {what: list(tests) for what, tests in _rows(page.split(SLIPS_HEADING, 1)[1])}


def _rows(text: str) -> Iterator[tuple[str, Iterator[str]]]:
    for line in text.splitlines():
        if "::" in line and line.startswith("| "):
            what, tests = (cell.strip() for cell in line.strip("| ").rsplit(" | ", 1))
            yield what, (full_path(test.strip("` ")) for test in tests.split("`, `"))


def full_path(test: str) -> str:
    """As docs/maths.md shortens it: below tests/ddpm_core/, or below tests/ where it begins with pipelines/."""
    return f"tests/{test}" if test.startswith("pipelines/") else f"tests/ddpm_core/{test}"
