"""Section `export` of params.yaml; without torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config, at_least_1, positive


@dataclass(frozen=True)
class ExportConfig(Config):
    """How the network becomes model.onnx, and how closely onnxruntime must agree with torch."""

    opset: int
    parity_tolerance: float
    golden_steps: int
    golden_tolerance: float
    ema: float | None
    weights: Literal["last", "best"]

    __checks__: ClassVar[Checks] = {
        "opset": (lambda v: 18 <= v <= 23, "between 18 and 23"),
        "parity_tolerance": positive,
        "golden_steps": at_least_1,
        "golden_tolerance": positive,
        "ema": (lambda v: v is None or 0 <= v < 1, "null, or at least 0 and below 1"),
    }

    def faults(self) -> list[str]:
        if self.weights != "best" or self.ema is None:
            return []
        return [
            "ema: must be null with weights: best, as the best step is judged by the average of train.ema_decay alone, "
            f"got {self.ema}"
        ]
