"""Stage train sets the order in which kernels add before a group of processes is made, which reads it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.paths import Paths
from pipelines.stages import train
from tests.support.small_training import Recorder, params


class Joined(Exception):
    """Far enough."""


@pytest.mark.parametrize(("deterministic", "order"), [(True, "fixed"), (False, "any")])
def test_the_order_is_set_before_the_processes_join(
    deterministic: bool, order: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[tuple[Any, ...]] = []

    def joined(*arguments: Any) -> Any:
        called.append(("joined", *arguments))
        raise Joined

    monkeypatch.setattr(train, "set_order", lambda *arguments: called.append(("set_order", *arguments)))
    monkeypatch.setattr(train, "joined", joined)
    asked = params()
    asked.runtime = replace(asked.runtime, deterministic=deterministic)
    with pytest.raises(Joined):
        train.run(asked, Paths(tmp_path, tmp_path / ".ddpm"), Recorder())
    assert called == [("set_order", order), ("joined", "cpu", deterministic)]
