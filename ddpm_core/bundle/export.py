"""Export a network to ONNX: one file with its weights, for any batch size, and with the same bytes each time.

onnx is imported here and in graph_weights.py, nowhere else in this library.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_core.bundle.export_ops import TRANSLATIONS
from ddpm_core.bundle.graph_weights import tell_places
from ddpm_core.diffusion.noise import step_noise
from ddpm_core.errors import ExportError
from ddpm_core.procedure import MODEL_FILE, Graph, graphs_of
from ddpm_core.spec import Condition, DataSpec

Net = Callable[[NDArray[np.float32], NDArray[np.float32], Mapping[str, NDArray[Any]]], NDArray[np.float32]]
"""(x, t, conditions by name) -> out, of the exported graph in a runtime; an encoder has its position in place of t."""

PARITY_BATCHES = (1, 3, 16)
# More than the graphs of the largest networks here need; protobuf's limit is 2 GiB.
_BYTES_LIMIT = 2 << 30


class _Told(nn.Module):
    """The network with its conditions as one argument, sorted by name, as the exporter takes no keywords."""

    def __init__(self, net: nn.Module, names: Iterable[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def forward(self, x: Tensor, t: Tensor, cond: tuple[Tensor, ...] = ()) -> Tensor:
        out: Tensor = self.net(x, t, **dict(zip(self.names, cond, strict=True)))
        return out


def export_onnx(net: nn.Module, spec: DataSpec, *, opset: int, graph: Graph | None = None) -> bytes:
    """The bytes of a graph: x, t and the conditions, by name -> out, in float32, the batch free.

    Without a `graph` it is model.onnx of a network `net(x, t, **cond)` on such data, of any shape.
    """
    graph = graph or graphs_of(spec, None)[MODEL_FILE]
    net = _part(net.eval().to(device="cpu", dtype=torch.float32), graph)
    weights = net.state_dict(prefix=f"{graph.part}." if graph.part else "")
    size = sum(value.numel() * value.element_size() for value in weights.values())
    if size >= _BYTES_LIMIT:
        raise ExportError(
            f"model: an ONNX file holds less than 2 GiB of weights, got {size} bytes; take fewer channels"
        )
    # Two data: the exporter would treat a batch of one as a constant.
    cond = tuple(torch.zeros(2, *each.shape, dtype=getattr(torch, each.dtype)) for each in graph.conditions.values())
    batch = {0: torch.export.Dim("batch", min=1)}
    told = {"cond": (batch,) * len(cond)} if cond else {}  # the exporter takes no empty tuple
    try:
        with _quiet():
            program = torch.onnx.export(
                _Told(net, graph.conditions),
                (torch.zeros(2, *graph.shape), torch.ones(2), *([cond] if cond else [])),
                dynamo=True,
                opset_version=opset,
                input_names=list(graph.inputs),
                output_names=["out"],
                dynamic_shapes={"x": batch, "t": batch, **told},
                custom_translation_table=dict(TRANSLATIONS),
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
        first = _first(error)
        raise ExportError(
            f"the network must be one that torch.onnx can export at opset {opset}, got {type(first).__name__}: "
            f"{' '.join(str(first).split())[:300]}; try another export.opset"
        ) from error
    if program is None:
        raise ExportError(f"torch.onnx made no program at opset {opset}; try another export.opset")
    return _plain_bytes(program.model_proto, weights)


def assert_parity(
    net: nn.Module, run: Net, spec: DataSpec, *, top_time: float, tolerance: float, graph: Graph | None = None
) -> float:
    """The largest difference between torch and the exported graph, relative to the output's scale (1 at least).

    ExportError if it is above the tolerance at any batch size.
    """
    graph = graph or graphs_of(spec, None)[MODEL_FILE]
    net = _part(net.eval(), graph)
    worst = 0.0
    for batch in PARITY_BATCHES:
        x = step_noise(range(batch), 0, graph.shape)
        t = np.linspace(top_time, top_time / max(batch, 2), batch).astype(np.float32)
        if graph.times is not None:
            t = np.rint(np.linspace(graph.times[1], graph.times[0], batch)).astype(np.float32)
        cond = {name: _example(each, batch) for name, each in graph.conditions.items()}
        with torch.no_grad():
            told = {name: torch.from_numpy(value) for name, value in cond.items()}
            expected = net(torch.from_numpy(x), torch.from_numpy(t), **told).numpy()
        got = run(x, t, cond)
        if got.shape != expected.shape or not np.isfinite(got).all():
            raise ExportError(
                f"the graph must give finite values {expected.shape} for a batch of {batch}, got {got.shape}; "
                "try another export.opset"
            )
        difference = float(np.abs(got - expected).max()) / max(1.0, float(np.abs(expected).max()))
        if difference > tolerance:
            raise ExportError(
                f"the graph must agree with torch to within export.parity_tolerance = {tolerance:g}, got a "
                f"difference of {difference:.3g} at a batch of {batch}; try another export.opset or a larger tolerance"
            )
        worst = max(worst, difference)
    return worst


def _first(error: BaseException) -> BaseException:
    """The error that the exporter's own ones come from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _part(net: nn.Module, graph: Graph) -> nn.Module:
    """What the graph computes of a network."""
    return net.get_submodule(graph.part) if graph.part else net


def _example(condition: Condition, batch: int) -> NDArray[Any]:
    """Values of a condition for the comparison: each class in turn with the null class, or normal noise."""
    if condition.classes:
        return np.arange(batch, dtype=np.int64) % (len(condition.classes) + 1)
    return step_noise(range(batch), 1, condition.shape).astype(condition.dtype)


def _plain_bytes(model: Any, weights: Mapping[str, Tensor]) -> bytes:
    """The graph with a table of its weights, in a fixed order and without traces of where and when it was made."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "ddpm", ""
    _strip(model.graph)
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        _strip_nodes(function.node)
    tell_places(model, weights)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"model.onnx must pass onnx's checker, got: {error}; try another export.opset") from error
    return bytes(model.SerializeToString(deterministic=True))


def _strip(graph: Any) -> None:
    graph.doc_string, graph.name = "", "network"
    del graph.metadata_props[:]
    # A runtime infers the intermediate shapes again when it loads the graph.
    del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    _strip_nodes(graph.node)


def _strip_nodes(nodes: Any) -> None:
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
            if attribute.HasField("g"):
                _strip(attribute.g)
            for graph in attribute.graphs:
                _strip(graph)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's log, which does not help a user of this project; its errors are raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
