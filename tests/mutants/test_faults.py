"""The table of faults fits the code: it cannot rot between two runs of `make test-mutants`."""

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.suite import MATHS, OWN, rings
from tests.mutants.table import ROOT, Fault, FaultError, faults, named, named_tests, slips

ALL = faults()


def told(fault: Fault) -> str | None:
    """What is wrong with a fault; None: it stands once in the code and leaves a module that compiles."""
    try:
        changed = fault.planted(ROOT)
        compile(changed, fault.file, "exec")
    except (FaultError, SyntaxError) as error:
        return f"{fault.name}: {error}"
    return None if changed != (ROOT / fault.file).read_text(encoding="utf-8") else f"{fault.name}: changes nothing"


def test_every_fault_stands_once_in_the_code_and_leaves_a_module_that_compiles() -> None:
    assert [text for fault in ALL if (text := told(fault))] == []


def test_names_are_unique_and_no_two_faults_are_the_same() -> None:
    assert max(Counter(fault.name for fault in ALL).values()) == 1
    assert max(Counter((fault.file, fault.planted(ROOT)) for fault in ALL).values()) == 1
    assert len(ALL) >= 60


def test_every_slip_of_the_page_is_planted_and_no_other_is_called_one() -> None:
    assert {fault.slip for fault in ALL if fault.slip} == set(slips())
    assert len(slips()) >= 20


def test_every_fault_is_shown_to_tests_that_exist() -> None:
    for fault in ALL:
        shown = rings(fault.file, named_tests(fault))
        assert shown, fault.name
        for test in (test for ring in shown for test in ring):
            file, _, name = test.partition("::")
            assert (ROOT / file).exists(), test
            assert not name or f"def {name.split('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8"), test
    assert all((ROOT / file).is_file() for file in OWN)
    assert all((ROOT / path).exists() for path in MATHS)


def test_a_fault_that_the_code_has_outgrown_is_told(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("a = 1\nb = 1\n")
    for old, found in (("c = 1", 0), ("= 1", 2)):
        with pytest.raises(FaultError, match=rf"must stand in one\.py exactly once, found {found}; the code has moved"):
            Fault("x", "one.py", old, "").planted(tmp_path)


def test_an_unknown_name_is_told() -> None:
    assert [fault.name for fault in named(["kl-plus-half"])] == ["kl-plus-half"]
    with pytest.raises(FaultError, match=r"no fault is called kl-plus; `--list` shows"):
        named(["kl-plus"])


@pytest.mark.slow
def test_a_change_of_words_goes_unnoticed_and_a_fault_is_noticed_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from importlib import import_module

    copies, run = import_module("copies"), import_module("run")
    words = Fault("words", "ddpm_core/likelihood/terms.py", "Terms of the variational bound", "Terms of the bound")
    with copies.Copy(tmp_path / "tree") as copy:
        unnoticed, noticed = run.tried(words, copy), run.tried(named(["kl-plus-half"])[0], copy)
        before = (ROOT / words.file).read_text(encoding="utf-8")
        assert (copy.tree / words.file).read_text(encoding="utf-8") == before
    assert unnoticed.killer is None
    assert noticed.killer.split("::")[0] == "tests/ddpm_core/likelihood/test_terms.py"
    assert noticed.as_documented
    assert run.verdict([noticed], 1.0) == 0
    assert run.verdict([noticed, unnoticed], 1.0) == 1
