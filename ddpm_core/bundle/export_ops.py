"""How two operators of torch become operators of ONNX, in the forms that a runtime on a CPU computes fastest.

The exporter's own forms give the same values, but they compute shapes that are known, move keys and values about, and
scale the queries and the keys apart. benchmarks/RESULTS.md has the times.
"""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18

op: Any = opset18


def group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, _cudnn: bool = True
) -> Any:
    """By InstanceNormalization: of the channels themselves where each is a group, else of groups as channels.

    Then BatchNormalization with mean 0 and variance 1 scales and shifts the channels in one pass.
    """
    channels, sides = x.shape[1], x.shape[2:]
    if groups == channels and weight is not None and bias is not None and sides:
        return op.InstanceNormalization(x, weight, bias, epsilon=eps)
    rows = op.Reshape(x, op.Constant(value_ints=[0, groups, -1]))
    y = op.Reshape(op.InstanceNormalization(rows, _ones(groups), _zeros(groups), epsilon=eps), _shape_of(x))
    if weight is None and bias is None:
        return y
    weight = _ones(channels) if weight is None else weight
    bias = _zeros(channels) if bias is None else bias
    return op.BatchNormalization(y, weight, bias, _zeros(channels), _ones(channels), epsilon=0.0)


def _ones(count: int) -> Any:
    return op.Constant(value_floats=[1.0] * count)


def _zeros(count: int) -> Any:
    return op.Constant(value_floats=[0.0] * count)


def _shape_of(x: Any) -> Any:
    """A constant where all but the batch is known."""
    rest = x.shape[1:]
    return op.Constant(value_ints=[0, *rest]) if all(isinstance(side, int) for side in rest) else op.Shape(x)


def attention(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(scale q k^T + mask) v, [B, heads, N, d]; a mask of numbers is added."""
    if is_causal or enable_gqa or dropout_p or (mask is not None and mask.dtype != q.dtype):
        raise ValueError("attention must be without dropout, causal masks, shared heads and masks of booleans")
    factor = op.Constant(value_float=q.shape[-1] ** -0.5 if scale is None else scale)
    scores = op.Mul(op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2])), factor)
    weights = op.Softmax(scores if mask is None else op.Add(scores, mask), axis=-1)
    return op.MatMul(weights, v)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.group_norm.default: group_norm,
    torch.ops.aten.scaled_dot_product_attention.default: attention,
}
