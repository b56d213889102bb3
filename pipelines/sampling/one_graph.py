"""The whole sampler as one ONNX graph: an ONNX Loop over the plan's rows, with the network as its body.

Inputs: `x_T` float32 [n, *shape], `plan.start_scale` times unit noise; the conditions of the bundle by name; and where
the plan draws noise after x_T `noise` [rows, n, *shape], unit noise for each row. Output: `samples`, as data are kept.
onnx is imported here and by the export alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from ddpm_core.bundle.format import OUTPUT, Bundle
from ddpm_core.diffusion import noise
from ddpm_core.diffusion.guidance import calls
from ddpm_core.diffusion.plan import Row
from ddpm_core.errors import ExportError, ParamsError
from ddpm_core.procedure import MODEL_FILE
from ddpm_core.spec import DataSpec
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.onnx_denoiser import run_graph
from pipelines.sampling.recipe import Recipe

NETWORK = "net/"
_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
_SCALARS = ("time", "A", "B", "c_in", "c_x", "c_D", "c_z", "log_var_large", "log_var_small")


class _Nodes:
    """Nodes under construction: each call adds one and returns the name of its output."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[Any] = []
        self.tables: list[Any] = []
        self._prefix = prefix

    def __call__(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"{self._prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def table(self, name: str, value: NDArray[Any]) -> str:
        self.tables.append(numpy_helper.from_array(value, name))
        return name

    def sum(self, terms: Sequence[tuple[str, str]]) -> str:
        """c_0 x_0 + c_1 x_1 + ..., from left to right."""
        first, *others = (self("Mul", c, x) for c, x in terms)
        for other in others:
            first = self("Add", first, other)
        return first


def sampler_graph(bundle: Bundle, recipe: Recipe) -> bytes:
    """The bytes of the graph; ParamsError for what such a graph cannot say."""
    _check(bundle, recipe)
    spec, plan = bundle.spec, recipe.plan
    rows = plan.rows(bundle.parameterisation)
    network = compose.add_prefix(onnx.load_from_string(bundle.model), NETWORK)
    outer = _Nodes("s/")
    _row_tables(outer, rows, plan.memory, calls(plan.time, recipe.guidance.weight, recipe.interval))
    for name, value in _constants(spec, recipe).items():
        outer.table(name, value)
    outer("Shape", "x_T", out="n", start=0, end=1)
    for name in spec.conditions:  # as told, and behind that as guidance tells the network nothing
        nothing = outer("Add", outer("Mul", name, f"zero/{name}"), f"null/{name}") if name in spec.null else name
        outer("Concat", name, nothing, out=f"both/{name}", axis=0)
    outer("Mul", "x_T", "zero", out="nothing")
    states = ["x", *(f"{kind}{k}" for k in range(1, plan.memory + 1) for kind in ("x_", "D_"))]
    begins = ["x_T", *["x_T", "nothing"] * plan.memory]
    body = _body(bundle, recipe, network, states)
    ends = ["x_0", *(f"last/{name}" for name in states[1:])]
    outer.nodes.append(helper.make_node("Loop", ["rows", "", *begins], ends, body=body))
    _decode(outer, spec)
    graph = helper.make_graph(
        outer.nodes,
        "sampler",
        _inputs(bundle, recipe, len(rows)),
        [helper.make_tensor_value_info("samples", _kept(spec), ["n", *spec.shape])],
        [*outer.tables, *network.graph.initializer],
    )
    model = helper.make_model(
        graph, opset_imports=network.opset_import, functions=network.functions, ir_version=network.ir_version
    )
    model.producer_name = "ddpm"
    about = {"bundle": bundle.digest, "sampler": plan.kind, "steps": str(recipe.sampler.steps)}
    helper.set_model_props(model, {**about, "guidance": f"{recipe.guidance.weight:g}"})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the sampler's graph must pass onnx's checker, got: {error}; take `ddpm serve`") from error
    return bytes(model.SerializeToString(deterministic=True))


def feeds(bundle: Bundle, recipe: Recipe, seeds: Sequence[int], cond: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """What the graph is given to make the samples of these seeds and conditions."""
    spec, plan = bundle.spec, recipe.plan
    given: dict[str, NDArray[Any]] = {"x_T": noise.initial(seeds, spec.shape) * np.float32(plan.start_scale)}
    given |= spec.conditions_for(cond, len(seeds))
    if plan.needs_noise:
        given["noise"] = np.stack([noise.step_noise(seeds, int(step), spec.shape) for step in plan.noise_step])
    return given


def difference(sampler: Sampler, recipe: Recipe, graph: bytes) -> float:
    """The largest difference from the step-wise sampler, over two data: of the first class, and of none or zeros."""
    spec, seeds = sampler.bundle.spec, [0, 1]
    cond: dict[str, Any] = {}
    for name, condition in spec.conditions.items():
        blank = np.zeros(condition.shape, condition.dtype)
        cond[name] = [blank, blank if condition.null is None else None]
    made = run_graph(graph, feeds(sampler.bundle, recipe, seeds, cond))
    return float(np.abs(made.astype(np.float64) - sampler.sample(recipe, seeds, cond)).max())


def _check(bundle: Bundle, recipe: Recipe) -> None:
    faults = {
        "--bundle: must be one of a network that is sampled in one loop": bundle.procedure is not None,
        "--bundle: must be one of data that are scaled alike, whatever their class": bool(
            bundle.spec.scaling and bundle.spec.scaling.of_class
        ),
        "--sampler: must clip or not bound at all, not by a dynamic threshold": recipe.plan.bound == "dynamic",
        "--guidance: must not be rescaled, as the bundle's is": recipe.guidance.weight != 0
        and recipe.guidance.rescale != 0,
    }
    for text, fault in faults.items():
        if fault:
            raise ParamsError(f"{text}; take `ddpm sample` or `ddpm serve` for this one")


def _row_tables(outer: _Nodes, rows: Sequence[Row], memory: int, evaluations: NDArray[Any]) -> None:
    """Each column of the plan, to be looked up by the number of the row."""
    outer.table("rows", np.array(len(rows), np.int64))
    for name in _SCALARS:
        outer.table(f"row/{name}", np.array([getattr(row, name) for row in rows], np.float32))
    for name in ("asks", "learned"):
        outer.table(f"row/{name}", np.array([bool(getattr(row, name)) for row in rows]))
    for name in ("past_x", "past_D"):
        for k in range(memory):
            column = [getattr(row, name)[k] if k < len(getattr(row, name)) else 0.0 for row in rows]
            outer.table(f"row/{name}{k + 1}", np.array(column, np.float32))
    outer.table("row/calls", evaluations.astype(np.int64))


def _constants(spec: DataSpec, recipe: Recipe) -> dict[str, NDArray[Any]]:
    low, high = spec.range or (0.0, 0.0)
    wide: dict[str, NDArray[Any]] = {
        f"{word}/{name}": np.array(value, spec.conditions[name].dtype)
        for name, null in spec.null.items()
        for word, value in (("zero", 0), ("null", null))
    }
    ends = {"low": low, "high": high, "weight": recipe.guidance.weight, "zero": 0, "half": 0.5, "one": 1}
    return {
        **wide,
        **{name: np.array(value, np.float32) for name, value in ends.items()},
        "at_0": np.array([0], np.int64),
        "at_1": np.array([1], np.int64),
        "channels": np.array([spec.channels], np.int64),
        "all_channels": np.array([2 * spec.channels], np.int64),
    }


def _body(bundle: Bundle, recipe: Recipe, network: Any, states: Sequence[str]) -> Any:
    """One row: the network, x0_hat, and the next x; `advance` of ddpm_core/diffusion/generate.py in nodes."""
    spec, plan, add = bundle.spec, recipe.plan, _Nodes("b/")
    names = [*_SCALARS, "calls", "asks", "learned"]
    past = range(1, plan.memory + 1)
    row = {name: add("Gather", f"row/{name}", "i") for name in names}
    row |= {f"{kind}{k}": add("Gather", f"row/past_{kind[0]}{k}", "i") for k in past for kind in ("x_", "D_")}
    # the batch, and behind it the batch without conditions in the rows where guidance acts
    size = add("Mul", "n", row["calls"])
    scaled = add("Mul", row["c_in"], "x")
    add("Slice", add("Concat", scaled, scaled, axis=0), "at_0", size, "at_0", out=f"{NETWORK}x")
    add("Expand", row["time"], size, out=f"{NETWORK}t")
    for name in spec.conditions:
        add("Slice", f"both/{name}", "at_0", size, "at_0", out=f"{NETWORK}{name}")
    add.nodes += network.graph.node
    whole = add("Slice", f"{NETWORK}{OUTPUT}", "at_0", "n", "at_0")
    out = add("Slice", whole, "at_0", "channels", "at_1")
    if recipe.guidance.weight:
        last = add("Slice", f"{NETWORK}{OUTPUT}", add("Sub", size, "n"), size, "at_0")
        nothing = add("Slice", last, "at_0", "channels", "at_1")
        out = add("Add", out, add("Mul", "weight", add("Sub", out, nothing)))
    D = add.sum([(row["A"], "x"), (row["B"], out)])
    if plan.bound == "clip" and spec.range is not None:
        D = add("Clip", D, "low", "high")
    if not plan.asks.all():
        D = add("Where", row["asks"], D, "nothing")
    terms = [(row["c_x"], "x"), *((row[f"x_{k}"], f"x_{k}") for k in past)]
    terms += [(row["c_D"], D), *((row[f"D_{k}"], f"D_{k}") for k in past)]
    if plan.needs_noise:
        sigma = row["c_z"]
        if plan.learned.any():
            v = add("Slice", whole, "channels", "all_channels", "at_1")
            f = add("Mul", add("Add", v, "one"), "half")
            log = add.sum([(f, row["log_var_large"]), (add("Sub", "one", f), row["log_var_small"])])
            sigma = add("Where", row["learned"], add("Exp", add("Mul", "half", log)), sigma)
        terms.append((sigma, add("Gather", "noise", "i")))
    ends = {"x": add.sum(terms), "x_1": "x", "D_1": D}
    ends |= {f"{kind}{k}": f"{kind}{k - 1}" for k in past[1:] for kind in ("x_", "D_")}
    outputs = [add("Identity", ends[name], out=f"next/{name}") for name in states]
    add("Identity", "go", out="go_on")
    shape: list[str | int | None] = ["n", *spec.shape]
    return helper.make_graph(
        add.nodes,
        "row",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in states),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs),
        ],
    )


def _inputs(bundle: Bundle, recipe: Recipe, rows: int) -> list[Any]:
    spec = bundle.spec
    told = {name: each for name, each in bundle.graphs[MODEL_FILE].inputs.items() if name in spec.conditions}
    inputs = [helper.make_tensor_value_info("x_T", TensorProto.FLOAT, ["n", *spec.shape])]
    inputs += [
        helper.make_tensor_value_info(name, _TYPES[each.dtype], ["n", *each.shape]) for name, each in told.items()
    ]
    if recipe.plan.needs_noise:
        inputs.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, [rows, "n", *spec.shape]))
    return inputs


def _kept(spec: DataSpec) -> int:
    return int(TensorProto.FLOAT if spec.levels is None else TensorProto.UINT8)


def _decode(outer: _Nodes, spec: DataSpec) -> None:
    """`DataSpec.decode` in nodes: in float64, rounded to nearest with ties to even."""
    wide = outer("Cast", "x_0", to=TensorProto.DOUBLE)
    if spec.levels is None or spec.range is None:
        mean, std = spec.scaling.affine(None) if spec.scaling else (np.zeros(spec.channels), np.ones(spec.channels))
        ends = (spec.channels, *(1,) * (len(spec.shape) - 1))
        scale, shift = (outer.table(name, each.reshape(ends)) for name, each in (("scale", std), ("shift", mean)))
        outer("Cast", outer("Add", outer("Mul", wide, scale), shift), out="samples", to=TensorProto.FLOAT)
        return
    (low, high), top = spec.range, spec.levels - 1
    numbers = {"bottom": low, "grades": top / (high - low), "first": 0.0, "top": float(top)}
    bottom, grades, first, last = (outer.table(name, np.array(value, np.float64)) for name, value in numbers.items())
    k = outer("Round", outer("Mul", outer("Sub", wide, bottom), grades))
    outer("Cast", outer("Clip", k, first, last), out="samples", to=TensorProto.UINT8)
