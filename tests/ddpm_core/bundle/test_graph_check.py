"""Which graphs a bundle may hold: those of known operators, with all their weights, that ask for bounded memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ddpm_core.bundle.graph_check import MOST_ELEMENTS, OPERATORS, check_graph
from ddpm_core.errors import IntegrityError

Change = Callable[[Any], None]
ONE = np.ones((2, 3), np.float32)
BODY = helper.make_graph([], "body", [], [])
OUT = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)


def model(*nodes: Any, **tensors: np.ndarray) -> Any:
    held = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    return helper.make_model(helper.make_graph(list(nodes), "graph", [], [OUT], held))


def plain() -> Any:
    return model(helper.make_node("Relu", ["w"], ["out"]), w=ONE)


def typed(kind: int, values: Any) -> Any:
    """A tensor whose values lie in a field of their type."""
    made = plain()
    made.graph.initializer[0].CopyFrom(helper.make_tensor("w", kind, (2, 3), values))
    return made


def refused(made: Any, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        check_graph(made if isinstance(made, bytes) else made.SerializeToString())


def test_every_operator_that_may_be_is_one_of_the_standard_and_draws_nothing() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert known >= OPERATORS
    assert not {name for name in OPERATORS if name.startswith("Random") or name in ("Loop", "If", "Scan", "Bernoulli")}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TensorProto.FLOAT, np.arange(6.0)),
        (TensorProto.DOUBLE, np.arange(6.0)),
        (TensorProto.INT64, np.arange(-3, 3)),
        (TensorProto.INT32, np.arange(6)),
        (TensorProto.FLOAT16, np.arange(6, dtype=np.float16)),
        (TensorProto.UINT8, np.arange(6)),
        (TensorProto.BOOL, np.arange(6) > 2),
        (TensorProto.UINT64, np.arange(6)),
    ],
)
def test_values_may_lie_in_a_field_of_their_type(kind: int, values: Any) -> None:
    check_graph(typed(kind, values).SerializeToString())


def test_values_may_be_raw_bytes() -> None:
    for dtype in (np.float32, np.float64, np.float16, np.int64, np.int8, np.bool_):
        check_graph(model(helper.make_node("Relu", ["w"], ["out"]), w=ONE.astype(dtype)).SerializeToString())


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Launch", ["w"], ["out"]), "ai.onnx.Launch"),
        (helper.make_node("Relu", ["w"], ["out"], domain="com.acme"), "com.acme.Relu"),
        (helper.make_node("RandomNormal", [], ["out"], shape=[3]), "RandomNormal"),
        (
            helper.make_node("Loop", ["", "", "w"], ["out"], body=BODY),
            "inside an operator",
        ),
    ],
)
def test_operators_that_are_not_known_are_refused(node: Any, message: str) -> None:
    refused(model(node, w=ONE), message)


def _shape_of_a_billion(made: Any) -> None:
    made.graph.initializer[0].dims[0] = 1 << 30


def _one_value_fewer(made: Any) -> None:
    made.graph.initializer[0].raw_data = made.graph.initializer[0].raw_data[:-4]


def _negative(made: Any) -> None:
    made.graph.initializer[0].dims[0] = -2


def _text(made: Any) -> None:
    made.graph.initializer[0].data_type = TensorProto.STRING


def _elsewhere(made: Any) -> None:
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL


def _named_elsewhere(made: Any) -> None:
    made.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_shape_of_a_billion, "as many values as their shape says"),
        (_one_value_fewer, "as many values as their shape says"),
        (_negative, "as many values as their shape says"),
        (_text, "tensors of numbers"),
        (_elsewhere, "all its weights"),
        (_named_elsewhere, "all its weights"),
        (lambda made: made.graph.sparse_initializer.add(), "no sparse tensors"),
        (lambda made: made.functions.add(name="f"), "no functions"),
        (lambda made: made.training_info.add(), "no training steps"),
        (lambda made: made.ClearField("graph"), "one graph, got 0"),
    ],
)
def test_what_a_weight_or_a_model_must_not_be_is_refused(change: Change, message: str) -> None:
    made = plain()
    change(made)
    refused(made, message)


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Reshape", "Tile"])
@pytest.mark.parametrize("constant", ["initializer", "raw", "node"])
def test_no_constant_shape_asks_for_more_memory_than_there_should_be(operator: str, constant: str) -> None:
    def made(size: int) -> Any:
        shape, inputs = (
            np.array([1, 2, size // 2], np.int64),
            ["shape"] if operator == "ConstantOfShape" else ["w", "shape"],
        )
        node, held = helper.make_node(operator, inputs, ["out"]), {"w": ONE}
        others = []
        if constant == "node":
            others = [helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(shape))]
        elif constant == "raw":
            held["shape"] = shape
        whole = model(*others, node, **held)
        if constant == "initializer":
            whole.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [3], shape))
        return whole

    check_graph(made(MOST_ELEMENTS).SerializeToString())
    refused(made(2 * MOST_ELEMENTS), f"at most {MOST_ELEMENTS} values")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"\xff" * 20, b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x3a\x02\x0a", b"\x3b", b"\x38\x01"],
    ids=["nothing", "zero", "no end", "long", "cut off", "group", "a number for a graph"],
)
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    refused(content, "must be an ONNX model")


def test_a_model_cut_off_anywhere_is_refused_or_is_still_whole() -> None:
    """No length of it raises anything else."""
    whole = plain().SerializeToString()
    for length in range(len(whole)):
        try:
            check_graph(whole[:length])
        except IntegrityError:
            continue
        onnx.load_from_string(whole[:length])
