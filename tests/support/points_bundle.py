"""A tiny bundle of points with two classes; its graph is written by hand, without torch."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named
from ddpm_core.scaling import Scaling
from ddpm_core.spec import DataSpec, labelled
from pipelines.sampling.bundle_sampler import Sampler

SPEC = replace(labelled((2,), None, None, ("lower", "upper")), kind="points", scaling=Scaling((10.0, -5.0), (2.0, 0.5)))


def graph(spec: DataSpec) -> bytes:
    """model.onnx: x times a matrix, plus a row a class; opset 20."""
    from onnx import TensorProto, helper, numpy_helper

    tables = {"w": np.array([[0.5, -0.2], [0.1, 0.4]]), "rows": np.array([[0.3, 0.0], [-0.3, 0.1], [0.0, 0.0]])}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Gather", ["rows", "label"], ["e"], axis=0),
        helper.make_node("Add", ["h", "e"], ["out"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *spec.shape]),
        helper.make_tensor_value_info("t", TensorProto.FLOAT, ["batch"]),
        helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
    ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", *spec.shape])
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tables.items()]
    made = helper.make_graph(nodes, "tiny", inputs, [output], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))


def points_bundle(folder: Path) -> Bundle:
    """Write the bundle, with a golden sample."""
    bundle = Bundle(
        spec=SPEC,
        schedule=Cosine("cosine", 50, 0.008, 0.999, False).build(),
        target="v",
        variance="fixed_small",
        sample=asdict(SampleConfig(named("ddim", 4, None), GuidanceConfig(0.0, None, 0.0), 0)),
        golden=None,
        provenance={},
        model=graph(SPEC),
    )
    bundle = replace(bundle, golden=Sampler(bundle, "cpu").make_golden(3, 1e-3))
    bundle.write(folder)
    return bundle
