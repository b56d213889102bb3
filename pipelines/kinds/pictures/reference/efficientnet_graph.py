"""EfficientNet-Lite as an ONNX graph: on a CPU onnxruntime takes a third of torch's time for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_OPSET, _IR = 17, 9  # read by every onnxruntime since 1.16


def on_cpu(model: nn.Module, threads: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The network, in evaluation mode, by onnxruntime: from pictures to pooled features and logits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would starve what runs beside it
    session = onnxruntime.InferenceSession(graph_of(model), options, providers=["CPUExecutionProvider"])

    def network(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = session.run(None, {"pictures": images.contiguous().numpy()})
        return torch.from_numpy(features), torch.from_numpy(logits)

    return network


def graph_of(model: Any) -> bytes:
    """The graph of an `EfficientNet` of efficientnet_lite_pytorch, each normalisation in the convolution before it."""
    graph = _Graph()
    x = graph.convolved("pictures", model._conv_stem, model._bn0)
    for block in model._blocks:
        x = graph.block(x, block)
    x = graph.convolved(x, model._conv_head, model._bn1)
    graph.add("Flatten", [graph.add("GlobalAveragePool", [x])], name="features")
    weights = [graph.constant(tensor) for tensor in (model._fc.weight, model._fc.bias)]
    graph.add("Gemm", ["features", *weights], name="logits", transB=1)
    return graph.serialised(("features", model._fc.in_features), ("logits", model._fc.out_features))


class _Graph:
    """Nodes and constants as they are added; every value has a name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._limits = [self._kept(np.float32(0.0)), self._kept(np.float32(6.0))]

    def add(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        """A node, and the name of what it gives."""
        name = name or f"x{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, tensor: Tensor) -> str:
        return self._kept(tensor.detach().numpy())

    def _kept(self, value: NDArray[np.float32] | np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def convolved(self, x: str, conv: Any, norm: nn.BatchNorm2d, *, bounded: bool = True) -> str:
        """Convolution and normalisation and, but at the end of a block, the bounds of ReLU6."""
        one = fuse_conv_bn_eval(conv, norm)
        left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
        x = self.add(
            "Conv",
            [x, self.constant(one.weight), self.constant(one.bias)],
            pads=[top, left, bottom, right],
            strides=list(one.stride),
            group=one.groups,
        )
        return self.add("Clip", [x, *self._limits]) if bounded else x

    def block(self, x: str, block: Any) -> str:
        """An inverted bottleneck: widened, convolved by channel, narrowed, and added to what came where it fits."""
        made = x
        if hasattr(block, "_expand_conv"):
            made = self.convolved(made, block._expand_conv, block._bn0)
        made = self.convolved(made, block._depthwise_conv, block._bn1)
        made = self.convolved(made, block._project_conv, block._bn2, bounded=False)
        known = block._block_args
        fits = known.id_skip and known.stride == 1 and known.input_filters == known.output_filters
        return self.add("Add", [made, x]) if fits else made

    def serialised(self, *outputs: tuple[str, int]) -> bytes:
        pictures = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, "side", "side"])
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in outputs]
        graph = helper.make_graph(self._nodes, "efficientnet", [pictures], given, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
