"""The network with int8 weights and uint8 activations where that costs little accuracy, float32 elsewhere.

Static quantisation in QDQ form, per channel, by onnxruntime.quantization, which this module alone imports. Only what
works on x is quantised: the layers of the time and the conditions are small, and an error there shifts every datum.
"""

import contextlib
import logging
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from ddpm_core.errors import ExportError
from pipelines.variants.parity import Answers, answers, errors
from pipelines.variants.probes import Feeds, Probe

log = logging.getLogger(__name__)

_OPS = ("Conv", "MatMul", "Gemm")


@dataclass(frozen=True)
class Layer:
    """A node that can be quantised, its multiplications a datum, and the error where it alone is in int8."""

    name: str
    work: int
    error: float


@dataclass(frozen=True)
class Quantised:
    """A graph, the nodes that stay in float32 though they could be quantised, and its error at each probe."""

    model: bytes
    quantised: tuple[str, ...]
    kept: tuple[str, ...]
    errors: tuple[float, ...]


class Quantiser:
    """Calibrates a graph once; `int8(names)` quantises the nodes of these names."""

    def __init__(self, model: bytes, calibration: Sequence[Probe]) -> None:
        with TemporaryDirectory() as folder, _quiet():
            given, prepared = Path(folder) / "given.onnx", Path(folder) / "prepared.onnx"
            given.write_bytes(_named(model))
            quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
            self._prepared = prepared.read_bytes()
            calibrator = create_calibrator(
                prepared,
                list(_OPS),
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=CalibrationMethod.MinMax,
            )
            calibrator.collect_data(_Reader(probe.feeds for probe in calibration))
            self._ranges: TensorsData = calibrator.compute_data()
        self.work = _candidates(onnx.load_from_string(self._prepared))
        """The multiplications of each node that can be quantised, by its name."""
        if not self.work:
            raise ExportError("int8: the network must have a convolution or a product with weights, got none")

    def int8(self, names: Collection[str]) -> bytes:
        with _quiet():
            quantiser = QDQQuantizer(
                onnx.load_from_string(self._prepared),
                True,  # per channel
                False,
                QuantType.QInt8,
                QuantType.QUInt8,
                self._ranges,
                sorted(names),
                [],
                list(_OPS),
                {},
            )
            quantiser.quantize_model()
        model = quantiser.model.model
        _read_exactly(model.graph, set(names))
        # The table of weights that an export writes there names float32 tensors that are gone.
        del model.metadata_props[:]
        model.doc_string, model.producer_name, model.producer_version = "", "ddpm", ""
        del model.graph.value_info[:]
        return bytes(model.SerializeToString(deterministic=True))


def int8_within(model: bytes, calibration: Sequence[Probe], probes: Sequence[Probe], limit: float) -> Quantised:
    """Keep in float32 the fewest layers that bring the error at every probe to within the limit.

    Each layer is quantised alone first. Those with the most squared error for their work stay in float32.
    """
    quantiser = Quantiser(model, calibration)
    wanted = answers(model, probes)
    layers = [
        Layer(name, work, max(errors(answers(quantiser.int8([name]), probes), wanted, probes)))
        for name, work in quantiser.work.items()
    ]
    order = [each.name for each in sorted(layers, key=lambda each: -(each.error**2) / each.work)]
    for count in range(len(order)):  # the error does not always fall as more stay in float32
        found = _with_kept(quantiser, order, count, probes, wanted)
        if max(found.errors) <= limit:
            log.info("int8: %d of %d layers, error at most %.3g", len(found.quantised), len(order), max(found.errors))
            return found
    raise ExportError(
        f"int8: must have an error of at most {limit:g} at every level, got {max(found.errors):.3g} with a single "
        "layer quantised; give a larger --limit"
    )


def _with_kept(
    quantiser: Quantiser, order: Sequence[str], count: int, probes: Sequence[Probe], wanted: Answers
) -> Quantised:
    model = quantiser.int8(order[count:])
    return Quantised(
        model, tuple(sorted(order[count:])), tuple(order[:count]), tuple(errors(answers(model, probes), wanted, probes))
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Batches for the calibrator, which asks until there is None."""

    def __init__(self, feeds: Iterable[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def _named(model: bytes) -> bytes:
    """The graph with a name for each node, by which the quantiser knows it."""
    content = onnx.load_from_string(model)
    for number, node in enumerate(content.graph.node):
        node.name = node.name or f"node/{number}"
    return bytes(content.SerializeToString(deterministic=True))


def _read_exactly(graph: Any, names: set[str]) -> None:
    """Let nodes in float32 read what was not rounded: the quantiser gives the 8 bits to all that read a tensor.

    What a node in int8 writes has 8 bits alone, so it stays rounded for all.
    """
    made_by = {output: node for node in graph.node for output in node.output}
    exact: dict[str, str] = {}  # by the name of its rounded copy
    for node in graph.node:
        rounding = made_by.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if rounding is not None:  # weights are rounded by no node
            source = made_by.get(rounding.input[0])
            if source is None or source.name not in names:
                exact[node.output[0]] = rounding.input[0]
    for node in graph.node:
        if node.name not in names:
            node.input[:] = [exact.get(name, name) for name in node.input]


def _candidates(model: Any) -> dict[str, int]:
    weights = {each.name: tuple(each.dims) for each in model.graph.initializer}
    sizes = {each.name: _sizes(each) for each in (*model.graph.value_info, *model.graph.output)}
    of_x, found = {"x"}, {}
    for node in model.graph.node:
        if of_x.isdisjoint(node.input):
            continue
        of_x.update(node.output)
        weight = weights.get(node.input[1]) if node.op_type in _OPS else None
        if weight is not None:
            size = sizes.get(node.output[0], ())
            places = size[2:] if node.op_type == "Conv" else size[1:-1]
            found[node.name] = math.prod(weight) * math.prod(number or 1 for number in places)
    return found


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(each.dim_value for each in value.type.tensor_type.shape.dim)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what onnxruntime.quantization logs by the root logger: advice on steps that are done here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
