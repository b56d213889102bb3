"""What a sampler over a bundle refuses, each with a message that says what must hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.errors import IntegrityError, ParamsError
from pipelines.sampling.bundle_sampler import Sampler
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec, unopenable_graph


@pytest.mark.parametrize(
    ("labels", "seeds", "batch_size", "message"),
    [
        ([4], [0], 64, r"label: must be .* 2, .*got \[4\]"),
        ([-1], [0], 64, r"label: must be .* 2, .*got \[-1\]"),
        ([0, 1], [0], 64, r"label: must be .*\(1,\), got .*\(2,\)"),
        ([0], [-1], 64, r"seed: must be a whole number from 0 to 2\^64 - 1, got -1"),
        ([0], [0], 0, r"batch_size: must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_sampled_is_refused(
    sampler: Sampler, labels: list, seeds: list, batch_size: int, message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        sampler.sample(sampler.recipe(), seeds, {"label": labels}, batch_size=batch_size)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"steps": 0}, r"steps: must be at least 1, got 0"),
        ({"steps": 51}, r"steps: must be from 1 to the schedule's 50 levels, got 51"),
        ({"guidance": -1.0}, r"weight: must be 0 or more, got -1"),
        ({"guidance": float("nan")}, r"weight: must be 0 or more, got nan"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(sampler: Sampler, choice: dict, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        sampler.recipe(**choice)


def test_a_graph_that_is_not_what_bundle_json_says_is_refused(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b", model=tiny_graph(tiny_spec(side=16)))
    with pytest.raises(IntegrityError, match=r"model.onnx: must take .*8, 8.* as bundle.json says, but takes .*16, 16"):
        Sampler.open(tmp_path / "b", "cpu")
    tiny_bundle(tmp_path / "c", model=unopenable_graph())
    with pytest.raises(IntegrityError, match=r"must be a model that onnxruntime .* can open"):
        Sampler.open(tmp_path / "c", "cpu")


def test_values_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(tiny_graph(tiny_spec()))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w2")
    weight.CopyFrom(numpy_helper.from_array(np.full((1, 4, 3, 3), np.nan, np.float32), "w2"))
    tiny_bundle(tmp_path / "b", model=model.SerializeToString())
    sampler = Sampler.open(tmp_path / "b", "cpu")
    with pytest.raises(IntegrityError, match="non-finite"):
        sampler.sample(sampler.recipe(), [0], {"label": [0]})


def test_a_bundle_with_defaults_that_are_none_is_told_in_full(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    content = {**bundle.sample, "seed": "one", "sampler": {**bundle.sample["sampler"], "steps": 0}}
    with pytest.raises(ParamsError, match=r"(?s)bundle.json: sample: 2 values are not allowed.*sampler.steps.*seed"):
        Sampler(replace(bundle, sample=content), "cpu")
