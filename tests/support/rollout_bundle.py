"""A real bundle of a network that is sampled column by column, its two graphs written by hand, without torch."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, Graph, Rollout, graphs_of
from ddpm_core.scaling import Scaling
from ddpm_core.spec import Condition, DataSpec
from tests.support.tiny_bundle import tiny_sample_config

K, H, L, STATE = 2, 3, 5, 4
CONDITIONS = {"history": Condition((K, L), "float32", (), None), "label": Condition.of_classes(("a", "b"))}
SPEC = DataSpec((K, H), None, None, CONDITIONS, Scaling((10.0, -3.0), (2.0, 0.5)), kind="points")
PROCEDURE = Rollout(state=STATE, warm_up=2)


def conditions(n: int) -> dict[str, Any]:
    history = np.random.default_rng(0).normal(size=(n, K, L)).astype(np.float32)
    history[2:4] = history[1]
    return {"history": history, "label": [(0, 1, 1, 1, None)[i % 5] for i in range(n)]}


def rollout_bundle(folder: Path, *, golden: bool = False) -> Bundle:
    graphs = graphs_of(SPEC, PROCEDURE)
    bundle = Bundle(
        spec=SPEC,
        schedule=Cosine("cosine", 50, 0.008, 0.999, False).build(),
        target="v",
        variance="fixed_small",
        sample=asdict(tiny_sample_config("ancestral", 4)),
        golden=None,
        provenance={"weights_digest": "0" * 64},
        model=_denoiser(graphs[MODEL_FILE]),
        procedure=PROCEDURE,
        others={ENCODER_FILE: _encoder(graphs[ENCODER_FILE])},
    )
    if golden:
        from pipelines.sampling.bundle_sampler import Sampler

        bundle = replace(bundle, golden=Sampler(bundle, "cpu").make_golden(3, 1.0))
    bundle.write(folder)
    return bundle


def _denoiser(graph: Graph) -> bytes:
    """out = 0.3 x - state W + t / 1000."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("MatMul", ["state", "w"], ["push"]),
        node("Unsqueeze", ["push", "last"], ["column"]),
        node("Mul", ["x", "share"], ["kept"]),
        node("Sub", ["kept", "column"], ["moved"]),
        node("Mul", ["t", "rate"], ["slow"]),
        node("Reshape", ["slow", "spread"], ["slow3"]),
        node("Add", ["moved", "slow3"], ["out"]),
    ]
    w = np.random.default_rng(1).normal(0, 0.5, (STATE, K)).astype(np.float32)
    return _graph(graph, nodes, {"w": w, "share": 0.3, "rate": 0.001, "last": [2], "spread": [-1, 1, 1]})


def _encoder(graph: Graph) -> bytes:
    """out = tanh(state / 2 + (history and x summed by column, before the position) W + label / 10)."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("Concat", ["history", "x"], ["line"], axis=2),
        node("Reshape", ["position", "spread"], ["position3"]),
        node("Less", ["steps", "position3"], ["before"]),
        node("Where", ["before", "line", "nothing"], ["known"]),
        node("ReduceSum", ["known", "last"], ["sums"], keepdims=0),
        node("MatMul", ["sums", "w"], ["told"]),
        node("Mul", ["state", "half"], ["old"]),
        node("Add", ["old", "told"], ["both"]),
        node("Gather", ["labels", "label"], ["of_label"], axis=0),
        node("Add", ["both", "of_label"], ["whole"]),
        node("Tanh", ["whole"], ["out"]),
    ]
    draw = np.random.default_rng(2)
    tables = {
        "w": draw.normal(0, 0.5, (K, STATE)).astype(np.float32),
        "labels": draw.normal(0, 0.5, (3, STATE)).astype(np.float32),
        "steps": np.arange(-L, H, dtype=np.float32).reshape(1, 1, -1),
        "nothing": 0.0,
        "half": 0.5,
        "last": [2],
        "spread": [-1, 1, 1],
    }
    return _graph(graph, nodes, tables)


def _graph(graph: Graph, nodes: list[Any], tables: dict[str, Any]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    inputs = [
        helper.make_tensor_value_info(name, types[each.dtype], ["batch", *each.shape])
        for name, each in graph.inputs.items()
    ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", *graph.out])
    weights = [
        numpy_helper.from_array(np.asarray(value, np.int64 if isinstance(value, list) else np.float32), name)
        for name, value in tables.items()
    ]
    made = helper.make_graph(nodes, "tiny", inputs, [output], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))
