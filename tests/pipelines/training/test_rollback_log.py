"""A tracker hears each step once, however often a training is rolled back."""

from collections.abc import Mapping
from typing import Any

from pipelines.training.rollback_log import RollbackLog


class Listener:
    """A run of a tracker."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, float]] = []
        self.tags: dict[str, str] = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.heard.append((step, metrics["loss"]))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags.update(tags)


def test_steps_wait_for_a_checkpoint_and_what_was_undone_is_never_heard() -> None:
    run: Any = Listener()
    saved = 0
    log = RollbackLog(run, lambda: saved, waits=True)

    def to(step: int, loss: float, failures: int = 0) -> None:
        log.step_done(step, failures)
        log.log_metrics({"loss": loss}, step)

    to(1, 0.1)
    to(2, 0.2)
    assert run.heard == []
    saved = 2
    to(3, 0.3)
    assert run.heard == [(1, 0.1), (2, 0.2)]
    to(4, 0.4)
    to(3, 33.0, 1)
    to(4, 44.0, 1)
    assert run.heard == [(1, 0.1), (2, 0.2)]
    log.close()
    assert run.heard == [(1, 0.1), (2, 0.2), (3, 33.0), (4, 44.0)]
    assert run.tags == {"rolled_back.1": "after step 4, to step 2"}


def test_what_was_undone_is_not_heard_at_the_end_of_a_training_that_comes_there_no_more() -> None:
    run: Any = Listener()
    log = RollbackLog(run, lambda: 2, waits=True)
    for step in (1, 2, 3, 4):
        log.step_done(step, 0)
        log.log_metrics({"loss": step / 10}, step)
    log.step_done(3, 1)
    log.close()
    assert run.heard == [(1, 0.1), (2, 0.2)]


def test_nothing_waits_where_nothing_can_be_rolled_back() -> None:
    run: Any = Listener()
    log = RollbackLog(run, lambda: 0, waits=False)
    log.step_done(5, 0)
    log.log_metrics({"loss": 0.5}, 5)
    assert run.heard == [(5, 0.5)]
    log.close()
    assert (run.heard, run.tags) == ([(5, 0.5)], {})
