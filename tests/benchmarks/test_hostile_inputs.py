"""Damaged inputs of every form: each is accounted for, and the driver tells a fault from a refusal. A few here."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hostile_files import FORMS, damaged, hostile_input
from benchmarks.hostile_inputs import Reader, one


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDPM_HOME", raising=False)


@pytest.mark.parametrize("form", FORMS)
def test_every_damaged_input_is_accounted_for(form: str, tmp_path: Path) -> None:
    for seed in range(12):
        told = one(form, seed, tmp_path / str(seed))
        assert told["refused_whole"] == 1 or told["found"] == told["accepted"] + told["quarantined"] >= 1, (seed, told)


def test_a_column_whose_name_is_no_utf8_is_refused(tmp_path: Path) -> None:
    """What the driver once found."""
    assert one("arrow", 311, tmp_path) == {"refused_whole": 1}


def test_a_seed_says_which_bytes_are_damaged(tmp_path: Path) -> None:
    first, second, other = (
        hostile_input("zip", seed, tmp_path / name)[1].read_bytes() for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second != other


def test_some_inputs_are_refused_whole_and_some_lose_a_picture(tmp_path: Path) -> None:
    told = [one("zip", seed, tmp_path / str(seed)) for seed in range(30)]
    assert sum(each["refused_whole"] for each in told) > 0
    assert sum(each["quarantined"] for each in told) > 0
    assert sum(each["accepted"] for each in told) > 0


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.end()


def test_a_process_that_dies_is_a_fault_and_the_next_input_is_read(reader: Reader, tmp_path: Path) -> None:
    os.kill(reader.pid, 9)
    counts, fault = reader.ask("csv", 0, str(tmp_path / "a"))
    assert (counts, fault) == ({}, "the process died with exit code -9")
    counts, fault = reader.ask("csv", 0, str(tmp_path / "b"))
    assert fault is None
    assert counts


def test_an_exception_is_a_fault(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()  # what cannot be written is no matter of a source
    _, fault = reader.ask("csv", 0, str(tmp_path))
    assert fault is not None
    assert fault.startswith("FileExistsError")


def test_damage_ends_with_bytes_of_any_length() -> None:
    rng = np.random.Generator(np.random.Philox(key=[0, 0]))
    assert all(isinstance(damaged(rng, bytes(length)), bytes) for length in range(40))
