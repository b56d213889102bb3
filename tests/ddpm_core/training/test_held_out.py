"""Data held out judge the averages on the way: the lowest loss is kept, nothing else of the training changes."""

import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import tiny
import torch
from test_guard import planted, to
from torch import nn

from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.training.held_out import Best, HeldOut
from tests.support.grid import grid

LOG = {"log_every": 3, "checkpoint_every": 3}


def held_out(objective: DiffusionObjective | None = None) -> HeldOut:
    batches = list(islice(tiny.batches(1000), 3))
    return HeldOut(objective or tiny.objective(), batches, 3, device=tiny.CPU, dtype=torch.float32)


def measures(*losses: float) -> Callable[[nn.Module, int], float]:
    waiting = iter(losses)
    return lambda _net, _parts: next(waiting)


def test_the_lowest_loss_is_the_best_the_first_of_equals() -> None:
    net = nn.Linear(2, 2)
    best = Best(net, measures(3.0, 1.0, 2.0, 1.0))
    kept = {}
    for step in (5, 10, 15, 20):
        with torch.no_grad():
            net.weight.fill_(step)
        best.judge(step)
        kept[step] = best.tensors()["weight"][0, 0].item()
    assert (best.step, kept) == (10, {5: 5, 10: 10, 15: 10, 20: 10})
    assert best.losses == {5: 3.0, 10: 1.0, 15: 2.0, 20: 1.0}


def test_a_loss_that_is_no_number_is_never_the_best(caplog: pytest.LogCaptureFixture) -> None:
    best = Best(nn.Linear(2, 2), measures(float("nan"), 2.0, float("inf")))
    assert [best.judge(step) for step in (1, 2, 3)] == [None, 2.0, None]
    assert (best.step, best.losses) == (2, {2: 2.0})
    assert "at step 1 the loss on held-out data is not finite" in caplog.text


def test_the_loss_is_the_mean_of_the_batches_and_the_same_each_time() -> None:
    """A network that answers 0 has the mean square of the targets for its loss."""
    net, measure = tiny.Net(), held_out()
    nn.init.zeros_(net.out.weight)
    nn.init.zeros_(net.out.bias)
    state = torch.get_rng_state()
    found = measure(net.eval())
    assert found == measure(net)
    assert torch.equal(state, torch.get_rng_state())
    draws = [tiny.objective().draw(batch, measure._seed, k) for k, batch in enumerate(islice(tiny.batches(1000), 3))]
    assert found == pytest.approx(torch.stack([draw.target**2 for draw in draws]).mean().item(), rel=1e-6)


def test_training_lowers_the_loss_on_data_that_it_never_saw() -> None:
    trainer = to(tiny.trainer(None, held_out=held_out(), **LOG), 24)
    assert trainer.best is not None
    assert list(trainer.best.losses) == list(range(3, 25, 3))
    assert trainer.best.losses[24] < trainer.best.losses[3]


def test_judging_changes_no_bit_of_the_training() -> None:
    judged, plain = (to(tiny.trainer(None, held_out=by, **LOG), 24) for by in (held_out(), None))
    ours = {name: value for name, value in tiny.tensor_bytes(judged).items() if not name.startswith("best.")}
    assert ours == tiny.tensor_bytes(plain)
    assert judged.history == plain.history


KILLS = [("skip", 14), ("roll_back", 2), ("roll_back", 9), ("roll_back", 14), ("roll_back", 23)]


@pytest.mark.parametrize(("policy", "killed_at"), grid(KILLS, ("skip", "roll_back"), (2, 9, 14, 23)))
def test_killed_and_resumed_it_has_the_same_best(tmp_path: Path, killed_at: int, policy: str) -> None:
    changes = {"source": planted(10), "on_nonfinite": policy, "lr": 0.2, **LOG}
    whole = to(tiny.trainer(tmp_path / "whole", held_out=held_out(), **changes), 24)  # type: ignore[arg-type]
    to(tiny.trainer(tmp_path / "cut", held_out=held_out(), **changes), killed_at)  # type: ignore[arg-type]
    other = tiny.trainer(tmp_path / "cut", held_out=held_out(), **changes)  # type: ignore[arg-type]
    other.resume()
    assert tiny.everything(to(other, 24)) == tiny.everything(whole)
    assert whole.best is not None
    assert whole.best.step is not None


def test_reports_tell_the_loss_where_it_was_measured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    trainer = tiny.trainer(None, held_out=held_out(), log_every=3, checkpoint_every=6, steps=20)
    told = {report.step: report.held_out for report in trainer.run() if report.held_out is not None}
    assert list(told) == [6, 12, 18, 20]
    assert trainer.best is not None
    assert told == trainer.best.losses
