"""What sampling will cost is said before it begins: pictures, evaluations, and a time from a measured piece."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.sampling import cost
from pipelines.sampling.bundle_sampler import Sampler
from tests.support.measured import EVALUATE
from tests.support.tiny_bundle import tiny_bundle


class Network:
    """A network whose first call takes 100 s and every other 2 s, by a clock of its own."""

    def __init__(self) -> None:
        self.calls, self.seconds = 0, 0.0

    def __call__(self, x: Any, t: Any, cond: Any) -> Any:
        self.calls += 1
        self.seconds += 100.0 if self.calls == 1 else 2.0
        assert len(x) == len(t) == len(cond["label"]) == 16
        return np.zeros_like(x)


def test_the_time_is_that_of_the_second_call_times_the_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_bundle(tmp_path)
    sampler = Sampler.open(tmp_path, device="cpu")
    network = Network()
    monkeypatch.setattr(sampler, "_net", network)
    monkeypatch.setattr(cost, "_now", lambda: network.seconds)
    caplog.set_level(logging.INFO, "pipelines")
    recipe = sampler.recipe(steps=5, guidance=0.0)
    assert recipe.cost(1000) == 5000
    cost.log_cost(sampler, recipe, EVALUATE, 1000, 1000, 1)
    # 5,000 evaluations at 2 s for 16 of them: 625 s
    told = [record.getMessage() for record in caplog.records if record.name == cost.__name__]
    (line,) = told
    assert all(number in line for number in ("1,000", "5,000", "10 min"))


def test_the_real_network_can_be_timed(tmp_path: Path) -> None:
    tiny_bundle(tmp_path)
    assert 0 < cost.seconds_an_evaluation(Sampler.open(tmp_path, device="cpu"), 64) < 10
