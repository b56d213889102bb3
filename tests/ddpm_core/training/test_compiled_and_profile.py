"""When a network is compiled, and the table of where a step's time goes."""

import json
from pathlib import Path

import pytest
import tiny
import torch

from ddpm_core.errors import DeviceError
from ddpm_core.training import compiled
from ddpm_core.training.compiled import PAYS_FROM, is_compiled
from ddpm_core.training.profile import SPANS, profiled, table

CUDA = torch.device("cuda")


def test_auto_compiles_for_a_gpu_what_is_long_enough_where_a_compiler_is(monkeypatch: pytest.MonkeyPatch) -> None:
    enough = PAYS_FROM["cuda"]
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: True)
    assert [is_compiled("auto", steps, CUDA) for steps in (1, enough - 1, enough)] == [False, False, True]
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: False)
    assert not is_compiled("auto", enough, CUDA)


@pytest.mark.parametrize("device", [tiny.CPU, CUDA], ids=str)
def test_always_and_never_are_obeyed(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: True)
    assert is_compiled("always", 1, device)
    assert not is_compiled("never", 10**9, device)
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: False)
    with pytest.raises(DeviceError, match=r"train.compile: always needs .* compiler.*, and there is none; install it"):
        is_compiled("always", 1, device)


def test_auto_never_compiles_for_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: True)
    assert not is_compiled("auto", 10**9, tiny.CPU)


def test_a_compiler_is_looked_for_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not compiled._has_compiler(tiny.CPU)
    (tmp_path / "g++").touch(mode=0o755)
    assert compiled._has_compiler(tiny.CPU)


def test_the_table_adds_up_and_what_has_no_name_is_other() -> None:
    lines = table({"step": 100.0, "forward": 30.0, "backward": 50.0, "data": 1.0}).splitlines()
    rows = {line.split()[0]: float(line.split()[1]) for line in lines}
    assert list(rows) == [*SPANS, "other", "step"]
    assert rows["other"] == 19
    assert sum(value for name, value in rows.items() if name != "step") == rows["step"]


def test_a_profile_names_every_span_of_a_step_and_writes_three_files(tmp_path: Path) -> None:
    reports = tiny.trainer(None).run()
    text = profiled(reports, tmp_path / "profile", warm_up=2, steps=3, device=tiny.CPU)
    assert next(reports).step == 6
    reports.close()
    assert all(any(line.startswith(name) for line in text.splitlines()) for name in (*SPANS, "other", "step"))
    assert "mean of 3 steps after 2" in text
    place = tmp_path / "profile"
    assert sorted(file.name for file in place.iterdir()) == ["operators.txt", "table.txt", "trace.json"]
    names = [event.get("name") for event in json.loads((place / "trace.json").read_text())["traceEvents"]]
    assert all(names.count(name) >= 3 for name in SPANS)
