"""The section `export` of params.yaml. Free of torch, so that it can be read anywhere."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, Config, at_least_1, positive
from ddpm_core.errors import ParamsError


@dataclass(frozen=True)
class ExportConfig(Config):
    """How the network becomes model.onnx, and how closely its onnxruntime run must follow torch."""

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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights == "best" and self.ema is not None:
            raise ParamsError(
                f"ExportConfig: ema: must be null with weights: best, as the best step is judged by the average of "
                f"train.ema_decay alone, got {self.ema}"
            )
