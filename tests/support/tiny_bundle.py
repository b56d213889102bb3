"""Tiny real bundles for tests: one whose graph is written by hand, without torch, and one exported from a U-Net."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named
from ddpm_core.spec import DataSpec, labelled

CLASSES = ("zero", "one", "two")


def tiny_spec(channels: int = 1, side: int = 8, classes: tuple[str, ...] = CLASSES) -> DataSpec:
    return labelled(shape=(channels, side, side), range=(-1.0, 1.0), levels=256, classes=classes)


def tiny_sample_config(kind: str = "ddim", steps: int = 4, guidance: float = 0.0) -> SampleConfig:
    return SampleConfig(named(kind, steps, None), GuidanceConfig(guidance, None, 0.0), 0)


def unopenable_graph() -> bytes:
    """A graph of known operators that no runtime opens: one asks for a tensor that nothing makes."""
    from onnx import helper

    graph = helper.make_graph([helper.make_node("Tanh", ["nothing"], ["out"])], "graph", [], [])
    model: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    return model


def tiny_graph(spec: DataSpec, conditional: bool = True, out_channels: int | None = None, seed: int = 0) -> bytes:
    """model.onnx: two convolutions, shifted by the time and by the label's embedding; opset 20."""
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(seed)
    channels, out, hidden = spec.channels, out_channels or spec.channels, 4
    tables = {
        "w1": draw.normal(0, 0.3, (hidden, channels, 3, 3)),
        "w2": draw.normal(0, 0.3, (out, hidden, 3, 3)),
        "w_time": draw.normal(0, 0.3, (1, hidden)) / 1000,
        "w_label": draw.normal(0, 1, (len(spec.classes) + 1, hidden)),
        "column": np.array([-1, 1]),
        "image": np.array([-1, hidden, 1, 1]),
    }
    whole = ("column", "image")
    weights = [
        numpy_helper.from_array(value.astype(np.int64 if name in whole else np.float32), name)
        for name, value in tables.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["t", "column"], ["t2"]),
        helper.make_node("MatMul", ["t2", "w_time"], ["e_time"]),
    ]
    if conditional:
        nodes.append(helper.make_node("Gather", ["w_label", "label"], ["e_label"], axis=0))
        nodes.append(helper.make_node("Add", ["e_time", "e_label"], ["e"]))
    nodes += [
        helper.make_node("Reshape", ["e" if conditional else "e_time", "image"], ["e4"]),
        helper.make_node("Add", ["h", "e4"], ["shifted"]),
        helper.make_node("Tanh", ["shifted"], ["act"]),
        helper.make_node("Conv", ["act", "w2"], ["out"], pads=[1, 1, 1, 1]),
    ]
    inputs: list[Any] = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *spec.shape]),
        helper.make_tensor_value_info("t", TensorProto.FLOAT, ["batch"]),
    ]
    if conditional:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", out, *spec.shape[1:]])
    used = [w for w in weights if conditional or w.name != "w_label"]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], used)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))


def tiny_bundle(
    folder: Path,
    *,
    conditional: bool = True,
    spec: DataSpec | None = None,
    variance: Any = "fixed_small",
    T: int = 50,
    sample: SampleConfig | None = None,
    model: bytes | None = None,
    golden: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a bundle that samples in milliseconds and needs no torch; with `golden` it holds a golden image."""
    spec = spec or tiny_spec()
    spec = spec if conditional else spec.told(())
    width = spec.channels * (2 if variance == "learned" else 1)
    bundle = Bundle(
        spec=spec,
        schedule=Cosine("cosine", T, 0.008, 0.999, False).build(),
        target="v",
        variance=variance,
        sample=asdict(sample or tiny_sample_config()),
        golden=None,
        provenance=provenance or {"weights_digest": "0" * 64},
        model=tiny_graph(spec, conditional, width) if model is None else model,
    )
    if golden:
        from pipelines.sampling.bundle_sampler import Sampler

        bundle = replace(bundle, golden=Sampler(bundle, "cpu").make_golden(3, 1.0))
    bundle.write(folder)
    return bundle


def tiny_unet(spec: DataSpec, *, learned_variance: bool = False) -> Any:
    """A U-Net of a few thousand weights, none of them zero, so that its answers say something."""
    import torch

    from ddpm_core.models import UNetConfig

    torch.manual_seed(0)
    config = UNetConfig("unet", 2, 16, (1, 2), 1, (1,), 2, 4, 0.0, True, False, 0)
    model = config.build(spec, learned_variance)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def exported_bundle(folder: Path, *, conditional: bool = True, variance: Any = "fixed_small") -> Bundle:
    """A bundle as `ddpm export` writes it: weights that can be found, and the network's configuration."""
    from ddpm_core.bundle.export import export_onnx

    spec = tiny_spec(classes=CLASSES if conditional else ())
    net = tiny_unet(spec, learned_variance=variance == "learned")
    return tiny_bundle(
        folder,
        conditional=conditional,
        spec=spec,
        variance=variance,
        sample=tiny_sample_config("ancestral", 5),
        model=export_onnx(net, spec, opset=20),
        provenance={"model": asdict(net.config)},
    )
