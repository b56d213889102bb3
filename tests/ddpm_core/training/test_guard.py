"""Losses that are no numbers: they stop, are left out or rolled back, never reach the state, and resume to the bit."""

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from ddpm_core.errors import NonFiniteError
from ddpm_core.objectives.batch import Batch
from ddpm_core.training.ema import Ema
from ddpm_core.training.meter import Measures, Meter
from ddpm_core.training.trainer import Trainer
from tests.support.grid import grid


def planted(*bad: int) -> Callable[[int], Iterator[Batch]]:
    """The stream of data in which these batches hold a NaN."""

    def batches(start: int) -> Iterator[Batch]:
        for step, batch in enumerate(tiny.batches(start), start):
            if step in bad:
                batch.x0[0] = torch.nan
            yield batch

    return batches


def always(_start: int) -> Iterator[Batch]:
    for batch in tiny.batches(0):
        batch.x0[0] = torch.inf
        yield batch


def to(trainer: Trainer, step: int) -> Trainer:
    """Train to a step and no further; nothing is saved on the way out."""
    for report in trainer.run():
        if report.step == step:
            break
    return trainer


def state(trainer: Trainer) -> dict[str, bytes]:
    """Weights, averages and optimiser."""
    return {name: value for name, value in tiny.tensor_bytes(trainer).items() if name != "meter"}


def finite(trainer: Trainer) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in trainer._tensors().values())


@pytest.mark.parametrize("optimiser", [tiny.CONFIG.optimiser, tiny.MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize("bad", [0, 9, 23])
def test_a_step_that_is_left_out_changes_nothing_and_is_counted(bad: int, optimiser: Any) -> None:
    trainer = tiny.trainer(None, source=planted(bad), on_nonfinite="skip", optimiser=optimiser)
    before = {}
    for report in trainer.run():
        if report.step == bad + 1:
            assert state(trainer) == (before or state(tiny.trainer(None, optimiser=optimiser)))
        assert report.nonfinite == int(report.step > bad)
        before = state(trainer)
    assert trainer.step == 24
    assert finite(trainer)
    assert all(math.isfinite(measures.loss + measures.grad_norm) for measures in trainer.history)


def test_a_gradient_that_is_no_number_never_reaches_the_weights_though_the_loss_is_one() -> None:
    trainer = tiny.trainer(None, on_nonfinite="skip")
    before = state(trainer)
    for parameter in trainer.model.parameters():
        parameter.register_hook(lambda gradient: gradient * torch.inf)
    assert to(trainer, 1)._guard.count == 1
    assert state(trainer) == before


def test_a_left_out_step_is_said(caplog: pytest.LogCaptureFixture) -> None:
    to(tiny.trainer(None, source=planted(9), on_nonfinite="skip"), 24)
    assert "near step 10: loss nan, norm of the gradient nan; skipped (1 of at most 2)" in caplog.text


AROUND = (5, 9, 11, 14, 19)
KILLS = [("skip", 11), *(("roll_back", step) for step in AROUND)]


@pytest.mark.parametrize(("policy", "killed_at"), grid(KILLS, ("skip", "roll_back"), AROUND))
def test_killed_and_resumed_around_bad_steps_ends_with_the_same_bits(
    tmp_path: Path, policy: str, killed_at: int
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    changes: dict[str, Any] = {"source": planted(9, 15), "on_nonfinite": policy, "learning_law": True}
    one = to(tiny.trainer(whole, **changes), 24)
    to(tiny.trainer(cut, **changes), killed_at)
    other = tiny.trainer(cut, **changes)
    assert other.resume() is (killed_at > 5 or policy == "roll_back")
    assert tiny.everything(to(other, 24)) == tiny.everything(one)
    assert finite(one)
    assert one._guard.count == 2


def test_what_stopped_may_go_on_by_leaving_the_step_out(tmp_path: Path) -> None:
    whole = to(tiny.trainer(None, source=planted(9), on_nonfinite="skip"), 24)
    with pytest.raises(NonFiniteError, match=r"with train.on_nonfinite: skip the same command"):
        to(tiny.trainer(tmp_path, source=planted(9)), 24)
    other = tiny.trainer(tmp_path, source=planted(9), on_nonfinite="skip")
    assert other.resume()
    assert tiny.everything(to(other, 24)) == tiny.everything(whole)


def test_a_roll_back_passes_the_data_over_and_draws_other_noise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = tiny.trainer(tmp_path, source=planted(9), on_nonfinite="roll_back")
    first = trainer._guard.seed
    with caplog.at_level(logging.WARNING):
        steps = [report.step for report in trainer.run()]
    assert steps == [*range(1, 10), *range(7, 25)]
    assert trainer._guard.passed == 10 - 6
    assert trainer._guard.seed != first
    assert [measures.step for measures in trainer.history] == [5, 10, 15, 20, 24]
    for said in ("near step 10", "rolled back to step 6", "1 of at most 2", "batch 10 of the data"):
        assert said in caplog.text


def test_before_the_first_checkpoint_it_rolls_back_to_the_beginning(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, source=planted(2), on_nonfinite="roll_back")
    assert [report.step for report in trainer.run()] == [1, 2, *range(1, 25)]
    assert finite(trainer)


def test_more_skips_than_the_limit_stop_with_exit_5() -> None:
    trainer = tiny.trainer(None, source=planted(4, 8, 9), on_nonfinite="skip")
    with pytest.raises(
        NonFiniteError, match=r"near step 10 .*; 3 steps so far, and train.nonfinite_limit allows 2"
    ) as e:
        to(trainer, 24)
    assert e.value.exit_code == 5
    assert finite(trainer)


def test_more_roll_backs_than_the_limit_stop_with_exit_5(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, source=always, on_nonfinite="roll_back")
    with pytest.raises(NonFiniteError, match=r"2 roll-backs, as many as train.nonfinite_limit allows") as caught:
        to(trainer, 24)
    assert caught.value.exit_code == 5
    assert finite(trainer)


def test_without_checkpoints_nothing_can_be_rolled_back() -> None:
    with pytest.raises(NonFiniteError, match="there is no checkpoint to roll back to"):
        to(tiny.trainer(None, source=planted(3), on_nonfinite="roll_back"), 24)


def test_the_window_leaves_bad_steps_out_of_its_means_and_may_have_none() -> None:
    meter = Meter(tiny.CPU)
    nan, band, items = torch.tensor(torch.nan), torch.tensor([0]), torch.tensor([4.0])
    meter.add(nan, nan, torch.tensor(1.0), band, items * torch.nan)
    meter.add(torch.tensor(2.0), torch.tensor(3.0), torch.tensor(0.0), band, items)
    assert meter.bad() == 1
    assert meter.read(2, 0.5) == (Measures(2, 2.0, 3.0, 0.5, (4.0, None, None, None)), 1)
    meter.add(nan, nan, torch.tensor(1.0), band, items)
    assert meter.read(3, 0.5) == (None, 1)


class Unwatched(str):
    """The CPU under the name of a device that nobody waits for: what happens on it is seen at a window's end."""

    type = "elsewhere"


def unwatched(trainer: Trainer) -> Trainer:
    trainer.device, trainer._update._host_decides = Unwatched("cpu"), False  # type: ignore[assignment]
    return trainer


def skipping(*bad: int, **changes: Any) -> Trainer:
    return tiny.trainer(None, source=planted(*bad), on_nonfinite="skip", **changes)


@pytest.mark.parametrize("bad", [0, 9, 23])
def test_a_step_that_a_device_leaves_out_by_itself_changes_nothing_and_is_counted(bad: int) -> None:
    trainer = unwatched(skipping(bad, ema_more=(0.5,)))
    before = state(trainer)
    for report in trainer.run():
        changed = {name.split(".")[0] for name, value in state(trainer).items() if before.get(name) != value}
        if report.step == bad + 1:
            assert changed <= {"optimiser"}  # a first step makes the optimiser's own tensors, which are then 0
        else:
            assert {"model", "ema", "further"} <= changed
        before = state(trainer)
    assert trainer._guard.count == 1
    assert finite(trainer)
    assert all(math.isfinite(measures.loss + measures.grad_norm) for measures in trainer.history)


def test_no_checkpoint_holds_a_step_that_is_yet_to_be_rolled_back(tmp_path: Path) -> None:
    """Step 6 is bad, is saved by, and lies in the middle of a window, whose end would be too late to look."""
    trainer = unwatched(tiny.trainer(tmp_path, source=planted(5), on_nonfinite="roll_back"))
    assert [report.step for report in trainer.run()] == [*range(1, 7), *range(1, 25)]


def test_steps_left_out_unseen_leave_the_training_that_leaves_them_out_seen() -> None:
    seen, unseen = to(skipping(4, 9), 24), to(unwatched(skipping(4, 9)), 24)
    for name, tensor in seen._tensors().items():
        torch.testing.assert_close(unseen._tensors()[name], tensor, rtol=1e-5, atol=1e-7, msg=name)


def test_an_average_takes_a_step_in_only_where_the_device_says_it_is_good() -> None:
    """How a GPU leaves a step out of the averages without the host having to look."""
    model = torch.nn.Linear(3, 2)
    told, plain = Ema(model, 0.9, 10.0), Ema(model, 0.9, 10.0)
    start = [weight.clone() for weight in told.model.parameters()]
    model.weight.data += 1
    told.update(model, told.shares(5), torch.tensor(1.0))
    assert all(torch.equal(a, b) for a, b in zip(start, told.model.parameters(), strict=True))
    told.update(model, told.shares(5), torch.tensor(0.0))
    plain.update(model, plain.shares(5))
    for one, other in zip(told.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)
