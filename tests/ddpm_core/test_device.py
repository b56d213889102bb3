"""Memory that was freed stays with the process; what else a device is stands in training/test_parts.py."""

from types import SimpleNamespace

import pytest

from ddpm_core.device import keep_memory


def test_memory_is_kept_where_the_c_library_can_and_nothing_is_done_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("ctypes.CDLL", lambda _name: SimpleNamespace(mallopt=lambda *setting: asked.append(setting)))
    keep_memory()
    assert asked == [(-3, 2**30), (-1, 2**31 - 1)]
    monkeypatch.setattr("ctypes.CDLL", lambda _name: SimpleNamespace())
    keep_memory()
    assert len(asked) == 2
