"""When a network is compiled, and the table of where a step's time goes."""

import json
import math
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from ddpm_core.errors import DeviceError
from ddpm_core.models.layers import Attention
from ddpm_core.objectives.batch import Batch
from ddpm_core.training import compiled
from ddpm_core.training.compiled import (
    COMPILING_SECONDS,
    SAVES_SECONDS,
    WORTH,
    is_compiled,
    operations,
    pays,
)
from ddpm_core.training.profile import SPANS, profiled, table

CUDA = torch.device("cuda")


def none() -> float:
    return 0.0


def test_auto_compiles_for_a_gpu_what_is_long_enough_where_a_compiler_is(monkeypatch: pytest.MonkeyPatch) -> None:
    enough = math.ceil(WORTH * COMPILING_SECONDS / SAVES_SECONDS)
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: True)
    assert [is_compiled("auto", steps, CUDA, none) for steps in (1, enough - 1, enough)] == [False, False, True]
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: False)
    assert not is_compiled("auto", enough, CUDA, none)


def test_the_larger_a_step_the_sooner_it_pays_to_compile() -> None:
    shortest = [next(n for n in range(1, 10**6) if pays(n, flops * 1e12)) for flops in (0, 1, 20, 400)]
    assert shortest == sorted(shortest, reverse=True)
    assert shortest[0] > 10 * shortest[2]


def test_operations_are_those_of_the_layers_for_forward_and_twice_for_backward() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(4 * 4 * 5, 7)

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.linear(self.conv(x).flatten(1))

    forward = 2 * (5 * 3 * 9 * 16) + 2 * (80 * 7)
    assert operations(Two, Batch(torch.ones(2, 3, 4, 4), {}), 8) == 3 * 8 * forward


def test_operations_of_attention_are_those_of_its_products() -> None:
    """8 channels and 12 pixels: the maps before and after, q k^T, and the weights with v."""

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention(8, heads=2, groups=2)

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.attention(x)

    forward = 2 * 12 * 8 * (3 * 8 + 8) + 2 * 2 * 12 * 12 * 8
    assert operations(Attends, Batch(torch.ones(2, 8, 3, 4), {}), 8) == 3 * 8 * forward


@pytest.mark.parametrize("device", [tiny.CPU, CUDA], ids=str)
def test_always_and_never_are_obeyed(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: True)
    assert is_compiled("always", 1, device, none)
    assert not is_compiled("never", 10**9, device, none)
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: False)
    with pytest.raises(DeviceError, match=r"train.compile: always needs .*compiler.*Python.h.*; install it"):
        is_compiled("always", 1, device, none)


def test_auto_never_compiles_for_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_has_compiler", lambda _device: True)
    assert not is_compiled("auto", 10**9, tiny.CPU, none)


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
    assert all(names.count(name) >= 3 for name in SPANS if name != "recorded")  # which is a GPU's
