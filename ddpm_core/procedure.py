"""How a network is sampled, in one loop or column by column, and the ONNX graphs that this needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import Condition, DataSpec

MODEL_FILE = "model.onnx"
ENCODER_FILE = "encoder.onnx"
STATE = "state"


@dataclass(frozen=True)
class Rollout:
    """The data's last axis is made column by column; before each the network encodes what is known into a state.

    Such a network has this as its attribute `procedure`, and two submodules, which hold all its weights:
        encoder(x, position, state=..., **conditions) -> the next state. It is called at the positions -warm_up, ..., -1
            for the conditions alone, and then once before each column: x [B, *shape] has the columns made so far, and
            the encoder may use those before `position` alone.
        denoiser(x, t, state=...) -> out, for one column x [B, C, ..., 1].
    """

    state: int
    """The size of the state, a float32 vector; zeros before the first call."""
    warm_up: int


class Input(NamedTuple):
    """One input of a graph; `shape` is that of one datum."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Graph:
    """An ONNX graph: `x`, `time` and conditions by name -> `out`. The shapes are of one datum."""

    part: str
    """The submodule of the network that it computes; empty for the whole network."""
    shape: tuple[int, ...]
    time: str
    conditions: Mapping[str, Condition]  # sorted by name, as bundle.json has them
    out: tuple[int, ...]
    times: tuple[float, float] | None
    """The first and the last time that it is asked at, in whole steps; None: the times of the schedule."""

    @property
    def inputs(self) -> dict[str, Input]:
        conditions = {name: Input(each.shape, each.dtype) for name, each in self.conditions.items()}
        return {"x": Input(self.shape, "float32"), self.time: Input((), "float32"), **conditions}

    def blank(self, count: int) -> dict[str, NDArray[Any]]:
        """Inputs of zeros for `count` data, to test or time the graph."""
        return {name: np.zeros((count, *each.shape), dtype=each.dtype) for name, each in self.inputs.items()}


def procedure_of(net: object) -> Rollout | None:
    """How a network in torch is sampled; None: in one loop."""
    found: Rollout | None = getattr(net, "procedure", None)
    return found


def graphs_of(spec: DataSpec, procedure: Rollout | None, learned_variance: bool = False) -> dict[str, Graph]:
    """The graphs of a network on such data, by file; model.onnx is what the sampling loop asks."""
    channels = spec.channels * (2 if learned_variance else 1)
    if procedure is None:
        return {MODEL_FILE: Graph("", spec.shape, "t", _sorted(spec.conditions), (channels, *spec.shape[1:]), None)}
    state = {STATE: Condition((procedure.state,), "float32", (), None)}
    column = (*spec.shape[1:-1], 1)
    ends = (-float(procedure.warm_up), float(spec.shape[-1] - 1))
    return {
        MODEL_FILE: Graph("denoiser", (spec.channels, *column), "t", state, (channels, *column), None),
        ENCODER_FILE: Graph(
            "encoder", spec.shape, "position", _sorted({**state, **spec.conditions}), (procedure.state,), ends
        ),
    }


def _sorted(conditions: Mapping[str, Condition]) -> dict[str, Condition]:
    return dict(sorted(conditions.items()))
