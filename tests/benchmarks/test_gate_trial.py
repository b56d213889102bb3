"""benchmarks/gate_trial.py at a small size: by one set of limits real pictures pass and gross faults are blocked."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.support.imports import ROOT


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_a_control_that_picks_keeps_what_its_name_says(load) -> None:
    controls: ModuleType = load("gate_controls")
    labels, rng = np.repeat(np.arange(4), 50), np.random.default_rng(0)
    kept = {name: controls.picked(name, labels, labels % 2, 60, rng) for name in controls.PICKS}
    distinct = {name: (len(rows), len(set(rows)), len(set(labels[rows]))) for name, rows in kept.items()}
    assert distinct["one picture"] == (60, 1, 1)
    assert distinct["ten pictures"][:2] == (60, 10)
    assert distinct["one class"] == (50, 50, 1)
    assert distinct["half the classes"] == (60, 60, 2)
    assert len(set(labels[kept["half the modes"]] % 2)) == 1


@pytest.mark.parametrize(("name", "share"), [("noise", 1.0), ("sigma .25", 1.0), ("shuffled", 1.0), ("blurred", 0.9)])
def test_a_control_that_changes_pictures_changes_nearly_all_of_them_and_can_be_made_again(load, name, share) -> None:
    features = load("gate_features")
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 16, 16)).astype(np.uint8)
    data = load("gate_data").parted("some", images, np.zeros(20), 1, held=4)
    made = features.changed(data, name, 16)
    np.testing.assert_array_equal(made, features.changed(data, name, 16))
    assert (made != data.train).mean() > share - 0.1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["small-digits", "digits"])
def test_real_pictures_pass_and_gross_faults_are_blocked(load, tmp_path: Path, name: str) -> None:
    data, features, trial = load("gate_data"), load("gate_features"), load("gate_trial")
    made = data.SETS[name][0](None)
    made.save(tmp_path)
    see, _ = features.classifier_of(made, 150)
    assert see is not None
    seen = features.looked_at(made, see, training=400, held=520, pool=120)
    features.save(features.seen_file(tmp_path / f"{name}.npz", "classifier"), seen)
    found = trial.trial(tmp_path, name, splits=10, draws=1, sizes=(100, 250))["sizes"]
    for n in ("100", "250"):
        passed = [name for name, each in found[n]["controls"].items() if each["gross"] and "pass" in each["outcomes"]]
        assert passed == []
        assert "fail" not in found[n]["real"]["outcomes"]
    assert found["250"]["real"]["outcomes"]["pass"] >= 9
