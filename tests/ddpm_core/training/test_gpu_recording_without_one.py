"""What a GPU's step is recorded from, as far as it shows without one: replays, draws, parts, data held out."""

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import tiny
import torch
from fake_gpu import Graph, graphs, memory
from torch import Tensor, nn

from ddpm_core.objectives.base import Draw, Loss
from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.training.accumulate import _Recorded
from ddpm_core.training.held_out import HeldOut
from ddpm_core.training.replayed import Replayed, _check_room

# ------------------------------------------------------------------------------------------------------ recording


def _counted() -> tuple[list[int], Callable[[], int]]:
    calls: list[int] = []

    def function() -> int:
        calls.append(len(calls))
        return len(calls)

    return calls, function


def _replays(made: list[Graph]) -> list[int]:
    return [graph.replays for graph in made]


def test_the_third_call_records_and_from_there_on_the_recording_alone_is_launched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, (calls, function) = graphs(monkeypatch), _counted()
    replayed = Replayed(function, "it")
    assert [replayed() for _ in range(2)] == [1, 2]
    assert (replayed.records_next, replayed.is_recorded, made) == (True, False, [])
    assert [replayed() for _ in range(4)] == 4 * [3]
    assert (len(calls), _replays(made), replayed.is_recorded) == (3, [4], True)
    replayed.forget()
    assert (replayed.records_next, replayed.is_recorded) == (False, False)
    assert [replayed() for _ in range(4)] == [4, 5, 6, 6]
    assert _replays(made) == [4, 2]


def test_what_cannot_be_recorded_is_undone_said_once_and_run_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, (calls, function) = graphs(monkeypatch), _counted()
    undone: list[int] = []

    def at_call_three() -> int:
        if function() == 3:
            raise RuntimeError("operation not permitted when stream is capturing")
        return len(calls)

    replayed = Replayed(at_call_three, "the update", lambda: undone.append(len(calls)))
    with caplog.at_level(logging.INFO):
        found = [replayed() for _ in range(6)]
        replayed.forget()
        found += [replayed() for _ in range(4)]
    assert found == [1, 2, *range(4, 12)]
    assert (undone, _replays(made)) == ([3], [0])
    (said,) = caplog.messages
    assert "the update" in said
    assert "operation not permitted when stream is capturing" in said


@pytest.mark.parametrize(
    ("room", "fits"),
    [
        ({"used": 100, "free": 200}, True),
        ({"used": 100, "free": 105}, False),
        ({"used": 100, "free": 900, "reserved": 950}, False),
        ({"used": 100, "free": 900, "reserved": 450, "fraction": 0.5}, False),
    ],
)
def test_nothing_is_recorded_where_its_memory_would_be_short(
    room: dict[str, Any], fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory(monkeypatch, **room)
    if fits:
        _check_room()
        return
    with pytest.raises(RuntimeError, match=r"needs .* GB"):
        _check_room()


# ----------------------------------------------------------------------------------------------- draws and passes


def _draw(step: int, size: int = 8) -> Draw:
    batch = next(tiny.batches(step))
    cond = {"label": batch.cond["label"][:size]}
    return tiny.objective().draw(replace(batch, x0=batch.x0[:size], cond=cond), 3, step)


def _same(one: Draw, other: Draw) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


def test_a_draw_takes_anothers_numbers_into_its_own_tensors() -> None:
    first, second = _draw(0), _draw(1)
    place = first.copied()
    tensors = place.tensors()
    assert _same(place, first)
    assert not {tensor.data_ptr() for tensor in tensors} & {tensor.data_ptr() for tensor in first.tensors()}
    assert place.holds(second)
    place.take(second)
    assert _same(place, second)
    assert all(one is other for one, other in zip(place.tensors(), tensors, strict=True))
    assert not _same(place, first)
    assert not place.holds(_draw(1, 6))
    assert not place.holds(replace(second, element=torch.ones_like(second.x0)))


def test_the_parts_of_a_draw_add_up_to_it() -> None:
    draw, net, objective = _draw(0), tiny.Net(0.0), tiny.objective()
    whole = objective.loss(net, draw)
    for number in (1, 2, 3, 8):
        parts = draw.parts(number)
        losses = [objective.loss(net, part) for part in parts]
        assert [len(part.tensors()) for part in parts] == number * [len(draw.tensors())]
        assert sum(len(part.t) for part in parts) == len(draw.t)
        assert sum(loss.total.item() for loss in losses) == pytest.approx(whole.total.item(), rel=1e-6)
        torch.testing.assert_close(torch.cat([loss.items for loss in losses]), whole.items)


def test_a_recording_finds_each_new_draw_where_the_first_lay_and_gives_its_own_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, net, places = graphs(monkeypatch), tiny.Net(0.0), []

    def backward(place: Draw) -> Loss:
        places.append(place)
        loss = tiny.objective().loss(net, place)
        loss.total.backward()
        return loss

    recorded = _Recorded(backward, list(net.parameters()))

    def step(draw: Draw) -> list[Tensor | None]:
        for parameter in net.parameters():
            parameter.grad = None
        recorded(draw, lambda: None)
        return [parameter.grad for parameter in net.parameters()]

    step(_draw(0))
    step(_draw(1))
    of_the_recording = step(_draw(2))
    for number in (3, 4):
        again = step(_draw(number))
        assert all(one is other and one is not None for one, other in zip(again, of_the_recording, strict=True))
        assert _same(places[0], _draw(number))
    assert len(places) == 3
    assert all(place is places[0] for place in places)
    assert _replays(made) == [3]
    step(_draw(5, 6))
    assert not recorded.is_recorded
    assert places[-1] is not places[0]
    assert _same(places[-1], _draw(5, 6))


def test_after_a_failed_recording_the_step_begins_anew_with_its_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt may have used up random numbers."""
    graphs(monkeypatch)
    net, done, attempts = tiny.Net(0.0), [], iter(range(4))

    def backward(place: Draw) -> Loss:
        if next(attempts) == 2:
            done.append("random numbers")
            raise RuntimeError("operation not permitted when stream is capturing")
        done.append("step")
        loss = tiny.objective().loss(net, place)
        loss.total.backward()
        return loss

    recorded = _Recorded(backward, list(net.parameters()))
    for step in range(3):
        recorded(_draw(step), lambda: done.append("seed"))
    assert done == ["step", "step", "random numbers", "seed", "step"]


# ------------------------------------------------------------------------------------------------------- held out


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_data_held_out_are_judged_in_parts_to_the_same_loss(parts: int) -> None:
    asked: list[int] = []

    class Asked(DiffusionObjective):
        def loss(self, net: nn.Module, draw: Draw) -> Loss:
            asked.append(len(draw.t))
            return super().loss(net, draw)

    own = tiny.objective()
    objective = Asked(own.process, own._weights[0], own.law)
    held = HeldOut(objective, list(islice(tiny.batches(1000), 3)), 3, device=tiny.CPU, dtype=torch.float32)
    net = tiny.Net(0.0)
    whole = held(net)
    asked.clear()
    assert held(net, parts=parts) == pytest.approx(whole, rel=1e-6)
    assert max(asked) <= -(-8 // parts)
    assert sum(asked) == 3 * 8


def test_a_trainer_has_data_held_out_judged_in_its_own_parts() -> None:
    told: list[int] = []

    def judged(_net: nn.Module, parts: int) -> float:
        told.append(parts)
        return 1.0

    trainer = tiny.trainer(None, steps=6, accumulate=2, checkpoint_every=3, held_out=judged)
    for report in trainer.run():
        if report.step == 4:
            trainer._passes.parts = 4  # as where the memory was too small
    assert 4 in told
    assert set(told) <= {2, 4}
