"""Buffers metrics until a checkpoint covers them, so a roll-back leaves no stale points in the tracker.

A tracker cannot delete a logged value: after a roll-back, two curves would lie over each other. So the metrics of a
step wait until a checkpoint of that step or a later one is saved, as a roll-back goes to the newest checkpoint. Without
a roll-back policy nothing waits.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.tracking.stage_records import Run


class RollbackLog:
    """Passes metrics on to a run once a checkpoint covers them; `saved` gives the step of the newest checkpoint."""

    def __init__(self, run: "Run", saved: Callable[[], int], *, waits: bool) -> None:
        self._run, self._saved, self._waits = run, saved, waits
        self._waiting: dict[int, Mapping[str, float]] = {}
        self._last_step = 0

    def step_done(self, step: int, failures: int) -> None:
        """The training has done this step. If it was done before, there was a roll-back: drop what waits from it on."""
        if step <= self._last_step:
            self._waiting = {before: values for before, values in self._waiting.items() if before < step}
            self._run.set_tags({f"rolled_back.{failures}": f"after step {self._last_step}, to step {step - 1}"})
        self._last_step = step

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._waiting[step] = metrics
        self._flush(self._saved() if self._waits else step)

    def close(self) -> None:
        """Pass on the rest: the training has ended, so there is no further roll-back."""
        self._flush(self._last_step)

    def _flush(self, upto: int) -> None:
        for step in sorted(step for step in self._waiting if step <= upto):
            self._run.log_metrics(self._waiting.pop(step), step)
