"""Normalisation and attention in an exported graph: torch's values, by few operators."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.bundle.export import export_onnx
from ddpm_core.bundle.graph_check import check_graph
from ddpm_core.errors import ExportError
from pipelines.sampling.onnx_denoiser import run_graph
from tests.support.tiny_bundle import tiny_spec, tiny_unet

SPEC = tiny_spec(channels=4, side=6, classes=())


class Forms(nn.Module):
    """Each form of a normalisation and of attention, beside one another in the output."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.weight, self.bias = (nn.Parameter(torch.randn(4, generator=draw)) for _ in range(2))
        self.mask = nn.Parameter(torch.randn(36, 36, generator=draw))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        x = x + 0.001 * t[:, None, None, None]
        norms = [F.group_norm(x, groups, self.weight, self.bias, 1e-3) for groups in (1, 2, 4)]
        norms += [F.group_norm(x, 4), F.group_norm(x, 2, self.weight), F.group_norm(x.flatten(2), 2).view_as(x)]
        norms += [F.group_norm(x, 2, bias=self.bias), F.group_norm(x.flatten(2), 2, self.weight, self.bias).view_as(x)]
        q, k, v = (part.view(-1, 2, 2, 36).transpose(2, 3) for part in (x, x.sin(), x.cos()))
        mixed = [
            F.scaled_dot_product_attention(q, k, v),
            F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask),
            F.scaled_dot_product_attention(q, k, v, scale=2.0),
        ]
        return torch.cat([*norms, *(each.transpose(2, 3).reshape(x.shape) for each in mixed)], dim=1)


class Causal(nn.Module):
    def forward(self, x: Tensor, _t: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, is_causal=True)


def test_each_form_has_the_values_of_torch_at_any_batch() -> None:
    net = Forms().eval()
    model = export_onnx(net, SPEC, opset=20)
    check_graph(model)
    for batch in (1, 5):
        x = np.random.default_rng(batch).normal(size=(batch, 4, 6, 6)).astype(np.float32)
        t = np.linspace(1, 900, batch).astype(np.float32)
        with torch.no_grad():
            wanted = net(torch.from_numpy(x), torch.from_numpy(t)).numpy()
        got = run_graph(model, {"x": x, "t": t})
        assert np.abs(got - wanted).max() < 1e-5, np.abs(got - wanted).max(axis=(0, 2, 3))


def test_attention_that_has_no_form_here_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match="causal"):
        export_onnx(Causal(), SPEC, opset=20)


def test_a_unet_asks_for_no_shape_and_scales_a_norm_once() -> None:
    import onnx

    graph = onnx.load_from_string(export_onnx(tiny_unet(tiny_spec()), tiny_spec(), opset=20)).graph
    nodes, weights = graph.node, {each.name for each in graph.initializer}
    count = Counter(node.op_type for node in nodes)
    assert count["Shape"] == count["Slice"] == count["Squeeze"] == 0
    assert count["Softmax"] > 0
    assert _largest_products(nodes) == count["InstanceNormalization"]
    products = [node for node in nodes if node.op_type == "Mul" and _normalised(nodes) & set(node.input)]
    assert not any(weights & set(node.input) for node in products)  # weights scale and shift in one pass
    assert count["BatchNormalization"] > 0


def _largest_products(nodes: Any) -> int:
    """Scales that follow a normalisation in its own shape, by a product or with a shift in one pass: one of each."""
    after = _normalised(nodes)
    scales = ("Mul", "BatchNormalization")
    scaled = {node.output[0] for node in nodes if node.op_type in scales and after & set(node.input)}
    moved = {node.output[0] for node in nodes if node.op_type == "Add" and scaled & set(node.input)}
    moved |= {node.output[0] for node in nodes if node.op_type == "BatchNormalization"}
    again = [node for node in nodes if node.op_type == "Mul" and moved & set(node.input)]
    sigmoids = {node.output[0] for node in nodes if node.op_type == "Sigmoid"}
    return len(scaled) + sum(not sigmoids & set(node.input) for node in again)


def _normalised(nodes: Any) -> set[str]:
    """What normalisations write, and the same in its own shape."""
    found = {node.output[0] for node in nodes if node.op_type == "InstanceNormalization"}
    return found | {node.output[0] for node in nodes if node.op_type == "Reshape" and node.input[0] in found}
