"""The sampler over bundles of data that have no levels and have another condition than a label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.scaling import Scaling
from ddpm_core.spec import Condition, DataSpec
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.parallel import sample_in_parallel
from tests.support.tiny_bundle import tiny_bundle, tiny_sample_config

SEEDS = [3, 1, 4, 1, 5, 9, 2, 6, 2**64 - 1]


def measured_points(folder: Path, null: float | None) -> Sampler:
    """Points without levels, told an angle: the network answers x / 10 + angle."""
    from onnx import TensorProto, helper

    named = {"x": [2], "t": [], "angle": [2], "out": [2]}
    x, t, angle, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in named.items()
    )
    nodes = [
        helper.make_node("Constant", [], ["tenth"], value_float=0.1),
        helper.make_node("Mul", ["x", "tenth"], ["less"]),
        helper.make_node("Add", ["less", "angle"], ["out"]),
    ]
    graph = helper.make_graph(nodes, "points", [x, t, angle], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    conditions = {"angle": Condition((2,), "float32", (), null)}
    spec = DataSpec((2,), None, None, conditions, Scaling((100.0, -5.0), (10.0, 0.5)))
    bundle = tiny_bundle(folder, spec=spec, model=model, sample=tiny_sample_config("ancestral"))
    golden = Sampler(bundle, "cpu").make_golden(3, 0.01)
    replace(bundle, golden=golden).write(folder)
    return Sampler.open(folder, "cpu")


def test_data_without_levels_and_another_condition_are_sampled_as_they_are_kept(tmp_path: Path) -> None:
    sampler = measured_points(tmp_path / "b", None)
    told = {"angle": np.linspace(-1, 1, 18).reshape(9, 2)}
    together = sampler.sample(sampler.recipe(), SEEDS, told)
    assert (together.shape, together.dtype) == ((9, 2), np.float32)
    np.testing.assert_array_equal(together, sampler.sample(sampler.recipe(), SEEDS, told, batch_size=2))
    np.testing.assert_array_equal(together, sample_in_parallel(sampler, sampler.recipe(), SEEDS, told, processes=1))
    other = sampler.sample(sampler.recipe(), SEEDS, {"angle": told["angle"] + 0.5})
    assert (other != together).all()
    assert (abs(together - (100, -5)) < (60, 3)).all(), "in the data's own units"
    with pytest.raises(ParamsError, match=r"angle: must be told"):
        sampler.sample(sampler.recipe(), SEEDS)
    assert sampler.bundle.golden is not None
    assert sampler.bundle.golden.cond == {"angle": [0.0, 0.0]}
    assert sampler.check_golden() == "equal"


def test_a_condition_that_need_not_be_told_is_left_out_of_the_golden_sample(tmp_path: Path) -> None:
    sampler = measured_points(tmp_path / "b", 0.0)
    assert sampler.bundle.golden is not None
    assert sampler.bundle.golden.cond == {}
    given = sampler.sample(sampler.recipe(), [0, 1], {"angle": [None, [1.0, 2.0]]})
    np.testing.assert_array_equal(given[0], sampler.sample(sampler.recipe(), [0])[0])
