"""Inference by the protocol: the sampler's samples and the network's own numbers, in JSON and in bytes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ddpm_core.procedure import MODEL_FILE
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.inference_protocol.inference import answer as answer_of
from pipelines.serving.inference_protocol.inference import sampling
from pipelines.serving.inference_protocol.models import evaluate
from pipelines.serving.inference_protocol.requests import InferenceRequest
from pipelines.serving.inference_protocol.tensors import Tensor
from pipelines.serving.service import Service
from tests.support.inference import BEGIN, ask, binary, output, seeds, tensor
from tests.support.points_bundle import points_bundle
from tests.support.rollout_bundle import rollout_bundle
from tests.support.series_bundle import series_bundle, series_spec
from tests.support.served import LIMITS, post

SAMPLER, NETWORK = "default", "default.network"


def one(name: str, value: Any, dtype: str) -> dict[str, Any]:
    return tensor(name, np.array([value], dtype))


def test_samples_are_those_of_our_own_route(client: TestClient) -> None:
    answer = ask(
        client,
        SAMPLER,
        seeds(5),
        one("label", 2, "int64"),
        one("steps", 6, "int64"),
        one("guidance", 0.7, "float32"),
        tensor("sampler", "heun"),
        id="mine",
    )
    own = post(client, label=2, seed=5, steps=6, guidance=0.7, sampler="heun")
    np.testing.assert_array_equal(output(answer), decode_png(own.content)[None])
    told = answer.json()
    assert (told["id"], told["model_name"]) == ("mine", SAMPLER)
    assert told["outputs"][0]["datatype"] == "UINT8"
    assert told["parameters"] == {
        "bundle": own.headers["x-bundle"],
        "sampler": "heun",
        "steps": "6",
        "guidance": "0.7",
    }
    for name in ("x-bundle", "x-sampler", "x-steps", "x-guidance", "x-seeds"):
        assert answer.headers[name] == own.headers[name]


def test_guidance_is_the_number_that_was_meant(sampler: Sampler) -> None:
    """0.7 as `/v1/images` has it, and not the float32 that is nearest to it."""
    given = {"seed": np.array([0]), "guidance": np.array([0.7], np.float32)}
    assert sampling(Service(sampler, LIMITS), given)[1].guidance.weight == 0.7


def test_each_sample_is_a_function_of_its_seed_and_label_alone(client: TestClient, sampler: Sampler) -> None:
    labels = np.array([2, 3, 0], np.int64)  # three is the number of classes: none
    found = output(ask(client, SAMPLER, seeds(8, 1, 8), tensor("label", labels)))
    own = sampler.sample(sampler.recipe(), [8, 1, 8], {"label": [2, None, 0]})
    np.testing.assert_array_equal(found, own)
    np.testing.assert_array_equal(output(ask(client, SAMPLER, seeds(1))), own[1:2])


def test_bytes_and_json_ask_for_the_same_and_answer_the_same(client: TestClient) -> None:
    inputs: dict[str, Any] = {
        "seed": np.array([3, 4], np.int64),
        "label": np.array([[1], [2]], np.int64),  # one number of each datum as Triton has it
        "guidance": np.array([1.5], np.float32),
        "sampler": "ddim",
    }
    found = []
    for sent_as_bytes in (True, False):
        for wanted_as_bytes in (True, False):
            request = {"parameters": {"binary_data_output": wanted_as_bytes}}
            if sent_as_bytes:
                content, headers = binary(inputs, **request)
                answer = client.post(f"/v2/models/{SAMPLER}/infer", content=content, headers=headers)
            else:
                answer = ask(client, SAMPLER, *(tensor(*each) for each in inputs.items()), **request)
            assert (BEGIN in answer.headers) == wanted_as_bytes
            media = "application/octet-stream" if wanted_as_bytes else "application/json"
            assert answer.headers["content-type"] == media
            found.append(output(answer))
    assert found[0].shape == (2, 1, 8, 8)
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])


@pytest.mark.parametrize(("whole", "own", "as_bytes"), [(True, None, True), (True, False, False), (False, True, True)])
def test_an_output_s_own_parameter_goes_before_the_request_s(
    client: TestClient, whole: bool, own: bool | None, as_bytes: bool
) -> None:
    parameters = {} if own is None else {"binary_data": own}
    asked = {"parameters": {"binary_data_output": whole}, "outputs": [{"name": "samples", "parameters": parameters}]}
    assert (BEGIN in ask(client, SAMPLER, seeds(0), **asked).headers) == as_bytes


def network_inputs(sampler: Sampler, n: int) -> dict[str, Any]:
    draw, spec = np.random.default_rng(n), sampler.bundle.spec
    return {
        "x": draw.normal(size=(n, *spec.shape)).astype(np.float32),
        "t": draw.integers(1, 50, n).astype(np.float32),
        "label": draw.integers(0, 4, n),
    }


@pytest.mark.parametrize("n", [1, 3, 200])
def test_the_network_s_numbers_are_its_own(client: TestClient, sampler: Sampler, n: int) -> None:
    inputs = network_inputs(sampler, n)
    content, headers = binary(inputs, parameters={"binary_data_output": True})
    answer = client.post(f"/v2/models/{NETWORK}/infer", content=content, headers=headers)
    found = output(answer)
    np.testing.assert_array_equal(found, sampler.network(inputs["x"], inputs["t"], {"label": inputs["label"]}))
    assert answer.headers["x-bundle"] == sampler.bundle.digest
    if n == 1:
        in_json = ask(client, NETWORK, *(tensor(*each) for each in inputs.items()))
        np.testing.assert_array_equal(output(in_json), found)
        nested = [tensor(name, values, data=values.tolist()) for name, values in inputs.items()]
        np.testing.assert_array_equal(output(ask(client, NETWORK, *nested)), found)


def test_on_a_gpu_the_network_is_asked_in_one_shape(sampler: Sampler) -> None:
    """There each size of a batch costs a search for kernels, and rounds differently."""
    inputs, sizes, steps = network_inputs(sampler, 7), [], []

    def network(x: Any, t: Any, cond: Any) -> Any:
        sizes.append(len(x))
        return sampler.network(x, t, cond)

    on_gpu: Any = SimpleNamespace(bundle=sampler.bundle, device="cuda", network=network)
    found = evaluate(on_gpu, 3, inputs, lambda done, total: steps.append((done, total)))
    np.testing.assert_array_equal(found, sampler.network(inputs["x"], inputs["t"], {"label": inputs["label"]}))
    assert sizes == [3, 3, 3]
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_request_as_kserve_s_client_writes_it(client: TestClient) -> None:
    answer = ask(client, SAMPLER, seeds(4), id="1", model_name=SAMPLER, outputs=[{"name": "samples"}])
    np.testing.assert_array_equal(output(answer), output(ask(client, SAMPLER, seeds(4))))


def test_what_is_not_finite_comes_as_bytes_alone() -> None:
    """A network may answer so where its inputs are far off; JSON has no such numbers."""
    values, tensor_ = np.array([[np.inf, np.nan, 1.0]], np.float32), Tensor("out", "FP32", (3,))
    asked = {"inputs": [seeds(0)], "parameters": {"binary_data_output": True}}
    content, begin = answer_of(InferenceRequest.from_fields(asked), tensor_, values, {})
    np.testing.assert_array_equal(np.frombuffer(content[begin:], "<f4"), values[0])
    with pytest.raises(InvalidRequest, match=r"outputs\.out: has values that are not finite"):
        answer_of(InferenceRequest.from_fields({"inputs": [seeds(0)]}), tensor_, values, {})


def test_points_come_in_their_own_unit(tmp_path: Path) -> None:
    sampler = Sampler(points_bundle(tmp_path / "p"), "cpu")
    with TestClient(create_app(sampler, LIMITS)) as client:
        found = output(ask(client, SAMPLER, seeds(2, 3), parameters={"binary_data_output": True}))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, sampler.sample(sampler.recipe(), [2, 3]))


def test_series_are_told_by_the_conditions_of_their_network(tmp_path: Path) -> None:
    sampler = Sampler(series_bundle(tmp_path / "s", series_spec("forecast")), "cpu")
    spec = sampler.bundle.spec
    draw = np.random.default_rng(0)
    cond = {name: draw.normal(size=(2, *each.shape)).astype(np.float32) for name, each in spec.conditions.items()}
    with TestClient(create_app(sampler, LIMITS)) as client:
        told = client.get(f"/v2/models/{SAMPLER}").json()
        assert {each["name"] for each in told["inputs"]} == {"seed", "steps", "guidance", "sampler", *cond}
        content, headers = binary({"seed": np.array([1, 2]), **cond}, parameters={"binary_data_output": True})
        found = output(client.post(f"/v2/models/{SAMPLER}/infer", content=content, headers=headers))
        cond["history"][0, 0, 0] = 1e9
        content, headers = binary({"seed": np.array([1, 2]), **cond})
        far = client.post(f"/v2/models/{SAMPLER}/infer", content=content, headers=headers)
        missing = ask(client, SAMPLER, seeds(1))
    cond["history"][0, 0, 0] = 0
    np.testing.assert_array_equal(
        found[1], sampler.sample(sampler.recipe(), [2], {k: v[1:] for k, v in cond.items()})[0]
    )
    assert (far.status_code, "inputs.history" in far.json()["error"]) == (400, True)
    assert (missing.status_code, "must be given" in missing.json()["error"]) == (400, True)


def test_a_network_of_columns_is_asked_for_one_column(tmp_path: Path) -> None:
    sampler = Sampler(rollout_bundle(tmp_path / "r"), "cpu")
    graph = sampler.bundle.graphs[MODEL_FILE]
    draw = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        name: draw.normal(size=(2, *each.shape)).astype(np.float32) for name, each in graph.inputs.items()
    }
    content, headers = binary(inputs, parameters={"binary_data_output": True})
    with TestClient(create_app(sampler, LIMITS)) as client:
        found = output(client.post(f"/v2/models/{NETWORK}/infer", content=content, headers=headers))
    told = {name: values for name, values in inputs.items() if name not in ("x", "t")}
    np.testing.assert_array_equal(found, sampler.network(inputs["x"], inputs["t"], told))


def test_the_example_of_the_description_is_served(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    own = {path for path in paths if path.startswith("/v2")}
    assert own == {
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        *(
            f"/v2/models/{{name}}{version}{what}"
            for version in ("", "/versions/{version}")
            for what in ("", "/ready", "/infer")
        ),
    }
    operation = paths["/v2/models/{name}/infer"]["post"]
    assert {"400", "404", "413", "429", "503"} <= set(operation["responses"])
    content = operation["requestBody"]["content"]["application/json"]
    assert "$ref" not in json.dumps(content)
    assert set(content["schema"]["properties"]["inputs"]["items"]["properties"]) >= {
        "name",
        "datatype",
        "shape",
        "data",
    }
    (example,) = content["examples"].values()
    assert output(client.post(f"/v2/models/{SAMPLER}/infer", json=example["value"])).shape == (2, 1, 8, 8)
