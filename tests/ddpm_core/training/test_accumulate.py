"""A batch that does not fit is cut until it does, and the update is that of the parts asked for in the first place."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from ddpm_core.errors import DdpmError
from ddpm_core.objectives.base import Draw, Loss
from ddpm_core.objectives.batch import WHOLE, Batch, Share
from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.training.accumulate import Passes
from ddpm_core.training.distributed import Alone, Processes
from ddpm_core.training.trainer import Trainer


class Small:
    """An objective on a device that holds so many items at once, until `from_step`; counts what it was asked."""

    def __init__(self, room: int, after: int = 0) -> None:
        self._own: DiffusionObjective = tiny.objective()
        self._room, self._after = room, after
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def loss(self, net: nn.Module, draw: Draw) -> Loss:
        self.asked.append(len(draw.t))
        if len(draw.t) > self._room and len(self.asked) > self._after:
            raise torch.OutOfMemoryError("as if")
        return self._own.loss(net, draw)


def finished(trainer: Trainer) -> Trainer:
    for _ in trainer.run():
        pass
    return trainer


def on(small: Small, **changes: Any) -> Trainer:
    trainer = tiny.trainer(None, **changes)
    trainer.objective = trainer._passes._objective = small  # type: ignore[assignment]
    return trainer


@pytest.mark.parametrize(("room", "parts"), [(8, 1), (4, 2), (3, 4), (1, 8)])
def test_the_update_is_that_of_so_many_parts(room: int, parts: int) -> None:
    cut = finished(on(Small(room)))
    asked_for = finished(tiny.trainer(None, accumulate=parts))
    assert cut.parts == parts
    assert tiny.tensor_bytes(cut) == tiny.tensor_bytes(asked_for)
    assert [measures.loss for measures in cut.history] == [measures.loss for measures in asked_for.history]


class OneOfTwo(Alone):
    """Alone but for the number of processes, so that the gradient stays this one's own."""

    count = 2


def test_the_gradients_of_all_processes_add_up_to_the_gradient_of_one() -> None:
    objective, net, batch = tiny.objective(), tiny.Net(0.0), next(tiny.batches(0))

    def gradient(processes: Processes, share: Share) -> torch.Tensor:
        part = share.rows(len(batch))
        mine = Batch(batch.x0[part], {"label": batch.cond["label"][part]})
        draw = replace(objective.draw(mine, 3, 11, share), count=objective.draw(batch, 3, 11, WHOLE).count)
        passes = Passes(net, objective, processes, 1, device=tiny.CPU, dtype=torch.float32, compiled=None)
        net.zero_grad()
        passes(draw, lambda: None)
        return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])

    halves = [gradient(OneOfTwo(), Share(number, 2)) for number in range(2)]
    torch.testing.assert_close(sum(halves), gradient(Alone(), WHOLE))


def test_it_is_said_once_and_kept_to(caplog: pytest.LogCaptureFixture) -> None:
    small = Small(2)
    with caplog.at_level(logging.WARNING):
        finished(on(small, steps=6, warmup_steps=2))
    assert small.asked == [8, 4] + 6 * [2, 2, 2, 2]
    assert [record.message for record in caplog.records] == [
        f"out of memory: batches are split into {parts} parts from here on; the update stays the same"
        for parts in (2, 4)
    ]


def test_what_a_failed_attempt_left_in_the_gradient_is_forgotten() -> None:
    class SecondPart(Small):
        def loss(self, net: nn.Module, draw: Draw) -> Loss:
            self.asked.append(len(draw.t))
            if self.asked == [4, 4]:
                raise torch.OutOfMemoryError("as if, with the first part's gradient there")
            return self._own.loss(net, draw)

    cut = finished(on(SecondPart(0), accumulate=2, steps=5))
    assert tiny.tensor_bytes(cut) == tiny.tensor_bytes(finished(tiny.trainer(None, accumulate=4, steps=5)))


def test_one_item_that_does_not_fit_is_a_clear_error() -> None:
    with pytest.raises(DdpmError, match=r"a single item must fit into the device's memory.* make the network smaller"):
        finished(on(Small(0)))


def test_parts_are_kept_over_a_resumption() -> None:
    trainer = on(Small(4), steps=6)
    finished(trainer)
    assert trainer._state()["parts"] == 2


class OfTwo(Alone):
    """The first of two processes; the other one answers to nothing but `any`."""

    count = 2

    def __init__(self, other: Callable[[], bool]) -> None:
        self._other = other

    def any(self, flag: bool) -> bool:
        return flag or self._other()


def of_two(small: Small, other: Callable[[], bool]) -> tuple[Passes, Draw]:
    draw = tiny.objective().draw(next(tiny.batches(0)), 3, 0)
    passes = Passes(tiny.Net(0.0), small, OfTwo(other), 1, device=tiny.CPU, dtype=torch.float32, compiled=None)
    return passes, draw


def test_several_processes_agree_on_the_parts_of_every_step() -> None:
    answers = [True, False, False, True, False]
    passes, draw = of_two(Small(8), lambda: answers.pop(0))
    assert len(passes(draw, lambda: None)) == 2
    assert len(passes(draw, lambda: None)) == 2
    assert len(passes(draw, lambda: None)) == 4
    assert passes.parts == 4
    assert answers == []


def test_nothing_is_exchanged_before_all_have_their_gradient() -> None:
    done: list[str] = []

    class Exchange(OfTwo):
        def any(self, flag: bool) -> bool:
            done.append("short" if flag else "fits")
            return flag

        def add_up(self, value: torch.Tensor) -> None:
            done.append("exchange")

    draw = tiny.objective().draw(next(tiny.batches(0)), 3, 0)
    processes = Exchange(lambda: False)
    passes = Passes(tiny.Net(0.0), Small(4), processes, 1, device=tiny.CPU, dtype=torch.float32, compiled=None)
    passes(draw, lambda: None)
    assert done == ["short", "fits", "exchange"]


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Small):
        def loss(self, net: nn.Module, draw: Draw) -> Loss:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        finished(on(Broken(8)))


def test_with_dropout_it_is_said_that_its_masks_change(caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(tiny.Net(0.0), nn.Dropout(0.1))
    passes = Passes(net, tiny.objective(), Alone(), 1, device=tiny.CPU, dtype=torch.float32, compiled=None)
    passes._cut(8)
    assert "the update stays the same" not in caplog.text
    assert "split into 2 parts from here on; the draw stays the same, the dropout masks do not" in caplog.text


def test_what_compiles_the_network_is_given_the_network_and_its_answer_is_used() -> None:
    seen: list[nn.Module] = []

    def compiled(net: nn.Module) -> nn.Module:
        seen.append(net)
        return net

    net = tiny.Net(0.0)
    Passes(net, tiny.objective(), Alone(), 1, device=tiny.CPU, dtype=torch.float32, compiled=compiled)
    assert seen == [net]
