"""Refuses a graph that a runtime should not be given: looked at as bytes, so that reading a bundle needs no onnx.

A graph is a protocol buffer (onnx.proto). Its operators must be those of the ONNX standard that compute with numbers,
without random numbers, loops, strings or files. Its tensors lie in the graph, and each has as many bytes as its shape
says. A constant shape of ConstantOfShape, Expand, Reshape or Tile makes at most `MOST_ELEMENTS` values. How much other
operators make, and shapes that the graph computes, are not known before it runs: a limit on the process's memory, such
as that of a container, holds for these.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ddpm_core.errors import IntegrityError

MOST_ELEMENTS = 1 << 28
# Bytes of a value by the number of its type; types without one (strings, complex numbers) hold no weights of ours.
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
_INT64 = 7
# Fields of TensorProto with values of their own, and the bytes of one there: None where they are varints.
_TYPED = {4: 4, 5: None, 7: None, 10: 8, 11: None}
# The operators that make a tensor of a shape they are given, and the place of that shape among their inputs.
_SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Tile": 1}
_NAMES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization Cast
    CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DFT
    DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten
    Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
    GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul MatMulInteger Max MaxPool
    Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv
    QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    RotaryEmbedding Round STFT ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose
    Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_NAMES.split())


class _Field(NamedTuple):
    number: int
    value: int | memoryview


@dataclass
class _Node:
    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    shapes: list[list[int]] = field(default_factory=list)
    """Tensors of integers among its attributes."""


def check_graph(model: bytes) -> None:
    """IntegrityError, with what must hold and what came, for a graph that is refused."""
    graphs = 0
    for number, value in _fields(memoryview(model)):
        if number == 7:
            graphs += 1
            _check(_message(value))
        elif number in (20, 25):
            raise IntegrityError("must have no training steps and no functions of its own, got some")
    if graphs != 1:
        raise IntegrityError(f"must be an ONNX model with one graph, got {graphs}")


def _check(graph: memoryview) -> None:
    constants: dict[str, list[int]] = {}
    nodes: list[_Node] = []
    for number, value in _fields(graph):
        if number == 1:
            nodes.append(_node(_message(value)))
        elif number == 5:
            name, integers = _tensor(_message(value))
            constants[name] = integers
        elif number == 15:
            raise IntegrityError("must have no sparse tensors, got one")
    for node in nodes:
        if node.domain not in ("", "ai.onnx") or node.operator not in OPERATORS:
            raise IntegrityError(
                f"must have operators of the ONNX standard that compute with numbers alone, got "
                f"{node.domain or 'ai.onnx'}.{node.operator}"
            )
        if node.operator == "Constant" and node.outputs and node.shapes:
            constants[node.outputs[0]] = node.shapes[0]
    for node in nodes:
        place = _SHAPED.get(node.operator, -1)
        name = node.inputs[place] if 0 <= place < len(node.inputs) else ""
        size = math.prod(max(1, length) for length in constants.get(name, []))
        if size > MOST_ELEMENTS:
            raise IntegrityError(f"must make tensors of at most {MOST_ELEMENTS} values, got {size} by {node.operator}")


def _node(message: memoryview) -> _Node:
    node = _Node()
    for number, value in _fields(message):
        if number == 1:
            node.inputs.append(_text(value))
        elif number == 2:
            node.outputs.append(_text(value))
        elif number == 4:
            node.operator = _text(value)
        elif number == 7:
            node.domain = _text(value)
        elif number == 5:
            for inner, part in _fields(_message(value)):
                if inner in (6, 11):  # no operator that is allowed has a graph
                    raise IntegrityError(f"must have no graphs inside an operator, got one in {node.operator}")
                if inner in (22, 23):
                    raise IntegrityError("must have no sparse tensors, got one")
                if inner in (5, 10):
                    node.shapes.append(_tensor(_message(part))[1])
    return node


def _tensor(message: memoryview) -> tuple[str, list[int]]:
    """Its name, and its values where they are 64-bit integers."""
    dims: list[int] = []
    name, kind, raw = "", 0, None
    typed, integers = 0, list[int]()
    for number, value in _fields(message):
        if number == 1:
            dims += _integers(value)
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _message(value)
        elif number == 13 or (number == 14 and value != 0):
            raise IntegrityError("must contain all its weights, got a tensor whose values are in another file")
        elif number in _TYPED:
            width = _TYPED[number]
            listed = _integers(value) if width is None else []
            typed += len(listed) if width is None else len(_message(value)) // width
            integers += listed if number == _INT64 else []
    if kind not in _BYTES:
        raise IntegrityError(f"must have tensors of numbers, got {name or 'one'} of type {kind}")
    if any(length < 0 for length in dims) or math.prod(dims) * _BYTES[kind] > (1 << 40):
        raise IntegrityError(f"must have tensors with as many values as their shape says, got {name or 'one'} {dims}")
    size, found = math.prod(dims), typed if raw is None else len(raw) / _BYTES[kind]
    if found != size:
        raise IntegrityError(
            f"must have tensors with as many values as their shape says, got {name or 'one'} {dims} with {found:g}"
        )
    if raw is not None and kind == _INT64:
        integers = np.frombuffer(raw, "<i8").tolist() if len(raw) <= 1024 else []
    return name, integers


# ---- the wire format of protocol buffers


def _fields(message: memoryview) -> Iterator[_Field]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield _Field(number, value)
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise IntegrityError(f"must be an ONNX model, got a field of the wire type {wire}")
        if length > len(message) - at:
            raise IntegrityError(
                f"must be an ONNX model, got a field of {length} bytes where {len(message) - at} are left"
            )
        yield _Field(number, message[at : at + length])
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(message):
            break
        byte = message[at + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise IntegrityError("must be an ONNX model, got a number without an end")


def _integers(value: int | memoryview) -> list[int]:
    """One integer, or those packed in a field; of 64 bits with a sign."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        one, at = _varint(value, at)
        found.append(_signed(one))
    return found


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise IntegrityError("must be an ONNX model, got a number where a message belongs")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise IntegrityError("must be an ONNX model, got a message where a number belongs")
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_message(value)).decode()
    except UnicodeDecodeError as error:
        raise IntegrityError("must be an ONNX model with names in UTF-8, got other bytes") from error
