"""The Open Inference Protocol by Triton's own HTTP client, against a real server."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from tests.peers.peer import peer
from tests.support.served import LIMITS, listening
from tests.support.tiny_bundle import tiny_bundle

triton = peer("tritonclient.http")
errors = peer("tritonclient.utils")

SAMPLER, NETWORK = "default", "default.network"


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler(tiny_bundle(tmp_path_factory.mktemp("triton") / "b"), "cpu")


@pytest.fixture(scope="module")
def address(sampler: Sampler) -> Iterator[str]:
    with listening(create_app(sampler, replace(LIMITS, waiting=20))) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address.removeprefix("http://"), concurrency=4) as client:
        yield client


def given(name: str, values: np.ndarray[Any, Any], binary: bool = True) -> Any:
    one = triton.InferInput(name, list(values.shape), errors.np_to_triton_dtype(values.dtype))
    one.set_data_from_numpy(values, binary_data=binary)
    return one


def network_inputs(n: int, binary: bool = True) -> tuple[list[Any], dict[str, Any]]:
    draw = np.random.default_rng(n)
    arrays = {
        "x": draw.normal(size=(n, 1, 8, 8)).astype(np.float32),
        "t": draw.integers(1, 50, n).astype(np.float32),
        "label": draw.integers(0, 4, n),
    }
    return [given(name, values, binary) for name, values in arrays.items()], arrays


def test_health_and_metadata(client: Any, sampler: Sampler) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for name in (SAMPLER, NETWORK):
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, sampler.bundle.digest[:16])
        assert not client.is_model_ready(name, "2")
        told = client.get_model_metadata(name)
        assert told["versions"] == [sampler.bundle.digest[:16]]
    assert [each["name"] for each in told["inputs"]] == ["x", "t", "label"]
    assert not client.is_model_ready("six")


@pytest.mark.parametrize("binary", [True, False])
def test_samples_are_those_of_our_own_route(client: Any, sampler: Sampler, address: str, binary: bool) -> None:
    """All that the client sends and asks for by default are bytes."""
    inputs = [
        given("seed", np.array([5, 9]), binary),
        given("label", np.array([2, 3]), binary),
        given("steps", np.array([6]), binary),
        given("guidance", np.array([0.7], np.float32), binary),
        given("sampler", np.array(["heun"], np.object_), binary),
    ]
    found = client.infer(SAMPLER, inputs, request_id="mine")
    own = sampler.sample(sampler.recipe("heun", 6, 0.7), [5, 9], {"label": [2, None]})
    np.testing.assert_array_equal(found.as_numpy("samples"), own)
    told = found.get_response()
    assert (told["id"], told["model_version"]) == ("mine", sampler.bundle.digest[:16])
    asked = {"label": 2, "seed": 5, "steps": 6, "guidance": 0.7, "sampler": "heun", "format": "npz"}
    route = httpx.post(f"{address}/v1/images", json=asked)
    assert route.headers["x-guidance"] == told["parameters"]["guidance"] == "0.7"


@pytest.mark.parametrize("binary", [True, False])
def test_the_network_s_numbers_are_its_own(client: Any, sampler: Sampler, binary: bool) -> None:
    inputs, arrays = network_inputs(3, binary)
    outputs = [triton.InferRequestedOutput("out", binary_data=binary)]
    found = client.infer(NETWORK, inputs, model_version=sampler.bundle.digest[:16], outputs=outputs).as_numpy("out")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, sampler.network(arrays["x"], arrays["t"], {"label": arrays["label"]}))


def test_several_requests_at_once(client: Any, sampler: Sampler) -> None:
    waiting = [client.async_infer(SAMPLER, [given("seed", np.array([seed]))]) for seed in range(4)]
    found = np.concatenate([each.get_result().as_numpy("samples") for each in waiting])
    np.testing.assert_array_equal(found, sampler.sample(sampler.recipe(), range(4), {}))


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"model_name": "six"}, "404", "model: must be one of"),
        ({"model_version": "2"}, "404", "version: must be"),
        ({"inputs": [given("seed", np.array([1.0]))]}, "400", "inputs.seed.datatype: must be INT64"),
        ({"inputs": [given("blue", np.array([1]))]}, "400", "inputs: must be named"),
        (
            {"outputs": [triton.InferRequestedOutput("samples", class_count=2)]},
            "400",
            "classification: is not supported",
        ),
        ({"priority": 3}, "400", "parameters.priority: is not supported"),
        ({"sequence_id": 3}, "400", "parameters.sequence_id: is not supported"),
        ({"request_compression_algorithm": "gzip"}, "415", "Content-Encoding"),
    ],
)
def test_errors_are_texts_that_the_client_shows(client: Any, change: dict[str, Any], status: str, word: str) -> None:
    request = {"model_name": SAMPLER, "inputs": [given("seed", np.array([1]))], **change}
    with pytest.raises(errors.InferenceServerException) as told:
        client.infer(**request)
    assert told.value.status() == status
    assert word in told.value.message()
    assert word in str(told.value)
