"""What is logged of a training that may roll back: each step once, with the numbers that count.

A tracker forgets nothing, so what a roll back undoes must not reach it: two curves would lie over each other where one
training went. The numbers of a step therefore wait until a checkpoint of that step or a later one is on the disk, for a
roll back goes to the newest. Where the policy knows no roll back nothing waits.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.tracking.stage_records import Run


class Settled:
    """Hands a run what it is told of steps, once it is settled; `saved` is the step of the newest checkpoint."""

    def __init__(self, run: "Run", saved: Callable[[], int], *, waits: bool) -> None:
        self._run, self._saved, self._waits = run, saved, waits
        self._waiting: dict[int, Mapping[str, float]] = {}
        self._reached = 0

    def reached(self, step: int, failures: int) -> None:
        """The training has done this step; where it had done it before, it was rolled back: what waits is undone."""
        if step <= self._reached:
            self._waiting = {before: values for before, values in self._waiting.items() if before < step}
            self._run.set_tags({f"rolled_back.{failures}": f"after step {self._reached}, to step {step - 1}"})
        self._reached = step

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._waiting[step] = metrics
        self._hand_on(self._saved() if self._waits else step)

    def close(self) -> None:
        """Nothing will be rolled back any more."""
        self._hand_on(self._reached)

    def _hand_on(self, upto: int) -> None:
        for step in sorted(step for step in self._waiting if step <= upto):
            self._run.log_metrics(self._waiting.pop(step), step)
