"""Single changes of what a run left behind, of each kind of file: refused by the name of the file.

A handful; benchmarks/forgeries.py makes 200 of them of a project that was really run.
"""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from pipelines.paths import Paths
from pipelines.release.promotion import judged_here
from tests.support.imports import ROOT
from tests.support.tracked import GATE, judged_project

EACH = 3


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module("forgeries")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Path]:
    """A judged project, and the folder of another one."""
    folder = tmp_path_factory.mktemp("forged")
    paths, _ = judged_project(folder / "one", folder / "home")
    other, _ = judged_project(folder / "two", folder / "home", seed=1, metrics={"energy_classifier": 0.01})
    return paths, other.root


@pytest.mark.parametrize("target", ["metrics", "record", "gate", "bundle", "samples", "params", "lock"])
def test_a_single_change_is_refused_by_the_name_of_its_file(
    script: ModuleType, honest: tuple[Paths, Path], target: str
) -> None:
    paths, other = honest
    forger = script.Forger(paths.root, other, 3)
    for _ in range(EACH):
        result = script.tried(forger, target, lambda: judged_here(GATE, paths))
        assert result.refused, result
        assert result.named, result


def test_what_was_not_changed_is_promoted_and_every_change_goes_again(
    script: ModuleType, honest: tuple[Paths, Path]
) -> None:
    paths, other = honest
    before = {
        path: path.read_bytes() for path in sorted(paths.root.rglob("*")) if path.is_file() and ".dvc" not in path.parts
    }
    forger = script.Forger(paths.root, other, 5)
    for target in script.TARGETS:
        with forger.forged(target) as forgery:
            assert forgery.target == target
    assert {path: path.read_bytes() for path in before} == before
    bundle, _, judged = judged_here(GATE, paths)
    assert judged.bundle == bundle.digest
    unnoticed = script.tried(forger, "metrics", lambda: None)
    assert (unnoticed.refused, unnoticed.named) == (False, False)
    assert "| metrics | 1 | 0 | 0 |" in script.summary([unnoticed])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_of_a_hundred_single_changes_each_is_refused(script: ModuleType, honest: tuple[Paths, Path], seed: int) -> None:
    paths, other = honest
    forger = script.Forger(paths.root, other, seed)
    results = [
        script.tried(forger, script.TARGETS[number % len(script.TARGETS)], lambda: judged_here(GATE, paths))
        for number in range(100)
    ]
    print(script.summary(results))
    assert [result for result in results if not (result.refused and result.named)] == []
