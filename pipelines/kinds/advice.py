"""What a kind of data can say about a verdict: which parameter to try next, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm_core.gate.rules import BLOCKING, RuleResult


@dataclass(frozen=True)
class Advice:
    """One change of params.yaml (or of the data) that may mend what the gate found, and the reason."""

    change: str
    reason: str


@dataclass(frozen=True)
class Judged:
    """A judged model and how it was made."""

    results: Mapping[str, RuleResult]
    """Of each rule, by its key in section gate; `min_samples` is there too."""
    params: Any
    """Of params.yaml, all sections."""
    examples: int
    """To train on."""
    still_falling: float | None
    """By which share the loss fell in the last quarter of the updates; None: not more than it scatters."""
    too_short: bool
    """The loss curve has too few rows to tell whether it fell."""
    samples: Path
    """out/samples, with the files that this kind writes there."""

    def blocked(self, *keys: str) -> bool:
        """Whether a rule of one of these keys blocks."""
        return any(key in self.results and self.results[key].outcome in BLOCKING for key in keys)

    def failed(self, *keys: str) -> bool:
        return any(key in self.results and self.results[key].outcome == "fail" for key in keys)
