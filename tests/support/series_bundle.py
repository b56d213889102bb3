"""Tiny bundles of series: one forecasts, one fills gaps. Their graphs are written by hand, without torch."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.procedure import MODEL_FILE, Rollout
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named
from ddpm_core.scaling import Scaling
from ddpm_core.spec import LABEL, Condition, DataSpec
from pipelines.kinds.series.rows.calendar import feature_names
from pipelines.sampling.bundle_sampler import Sampler

COLUMNS = ("load", "temperature")
HISTORY, HORIZON, WINDOW = 6, 4, 8
SCALING = Scaling((100.0, 10.0), (20.0, 5.0))


def series_spec(
    task: str, *, classes: tuple[str, ...] = (), calendar: tuple[str, ...] = ("hour_of_day",), **about: Any
) -> DataSpec:
    """A spec as stage prepare writes it."""
    K, rows = len(COLUMNS), feature_names(calendar)
    lengths = {"history": HISTORY, "horizon": HORIZON} if task == "forecast" else {"window": WINDOW}
    told = ("history", "seen") if task == "forecast" else ("observed", "told")
    conditions = {name: Condition((K, HISTORY if task == "forecast" else WINDOW), "float32", (), None) for name in told}
    if rows:
        conditions["calendar"] = Condition((len(rows), sum(lengths.values())), "float32", (), None)
    if classes:
        conditions[LABEL] = Condition.of_classes(classes)
    facts = {
        "task": task,
        "columns": list(COLUMNS),
        "frequency": "30min",
        "time_zone": None,
        "calendar": rows,
        **lengths,
        **about,
    }
    shape = (K, HORIZON if task == "forecast" else WINDOW)
    return DataSpec(shape, None, None, conditions, SCALING, "series", masked=True, about=facts)


def series_graph(spec: DataSpec, seed: int = 0) -> bytes:
    """model.onnx: half of x, plus what is told by matrices over time; opset 20."""
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(seed)
    values, known = ("history", "seen") if "history" in spec.conditions else ("observed", "told")
    steps = spec.shape[1]
    tables = {
        "half": np.array(0.5),
        "over": draw.normal(0, 0.3, (spec.conditions[values].shape[1], steps)),
        "known_over": draw.normal(0, 0.1, (spec.conditions[values].shape[1], steps)),
    }
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["a0"]),
        helper.make_node("MatMul", [values, "over"], ["b0"]),
        helper.make_node("MatMul", [known, "known_over"], ["b1"]),
        helper.make_node("Add", ["a0", "b0"], ["a1"]),
        helper.make_node("Add", ["a1", "b1"], ["a2"]),
    ]
    last = "a2"
    if "calendar" in spec.conditions:
        tables["clock"] = draw.normal(0, 0.2, (spec.conditions["calendar"].shape[1], steps))
        nodes += [
            helper.make_node("MatMul", ["calendar", "clock"], ["b2"]),
            helper.make_node("ReduceMean", ["b2", "one"], ["b3"], keepdims=1),
            helper.make_node("Add", [last, "b3"], ["a3"]),
        ]
        last = "a3"
    if spec.classes:
        tables["rows"] = draw.normal(0, 1, (len(spec.classes) + 1, 1, 1))
        nodes += [
            helper.make_node("Gather", ["rows", LABEL], ["b4"], axis=0),
            helper.make_node("Add", [last, "b4"], ["a4"]),
        ]
        last = "a4"
    nodes.append(helper.make_node("Identity", [last], ["out"]))
    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *spec.shape]),
        helper.make_tensor_value_info("t", TensorProto.FLOAT, ["batch"]),
        *(
            helper.make_tensor_value_info(name, types[each.dtype], ["batch", *each.shape])
            for name, each in spec.conditions.items()
        ),
    ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", *spec.shape])
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tables.items()]
    weights.append(numpy_helper.from_array(np.array([1]), "one"))
    made = helper.make_graph(nodes, "tiny", inputs, [output], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))


def series_bundle(
    folder: Path,
    spec: DataSpec,
    *,
    graphs: Mapping[str, bytes] | None = None,
    procedure: Rollout | None = None,
    variance: Any = "fixed_small",
) -> Bundle:
    """Write a bundle with its golden sample; without `graphs` by file it samples in milliseconds."""
    from pipelines.sampling.bundle_sampler import Sampler

    contents = dict(graphs or {MODEL_FILE: series_graph(spec)})

    bundle = Bundle(
        spec=spec,
        schedule=Cosine("cosine", 50, 0.008, 0.999, False).build(),
        target="v",
        variance=variance,
        sample=asdict(SampleConfig(named("ddim", 4, None), GuidanceConfig(0.0, None, 0.0), 0)),
        golden=None,
        provenance={},
        model=contents.pop(MODEL_FILE),
        procedure=procedure,
        others=contents,
    )
    bundle = replace(bundle, golden=Sampler(bundle, "cpu").make_golden(3, 1e-3))
    bundle.write(folder)
    return bundle


def open_(bundles: Path, task: str) -> Sampler:
    return Sampler.open(bundles / task, device="cpu")
