"""What the protocol's routes refuse: by name, as a text, by a status that says whose fault it is; and they go on."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.support.inference import BEGIN, ask, binary, output, refusal, seeds, tensor

SEED = seeds(0)
X = np.zeros((1, 1, 8, 8), np.float32)
T = np.ones(1, np.float32)
LABEL = np.zeros(1, np.int64)
NETWORK = "default.network"


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ([{**SEED, "datatype": "FP32"}], "inputs.seed.datatype: must be INT64"),
        ([{**SEED, "datatype": "INT99"}], "inputs.seed.datatype: must be INT64"),
        ([{**SEED, "shape": [2]}], "inputs.seed.data: must have 2 values"),
        ([{**SEED, "shape": [1, 2]}], "inputs.seed.shape: must be [n]"),
        ([{**SEED, "shape": []}], "inputs.seed.shape"),
        ([{**SEED, "shape": [0], "data": []}], "inputs.seed.shape"),
        ([{**SEED, "shape": [257], "data": [0] * 257}], "with n from 1 to 256"),
        ([{**SEED, "shape": [2**62]}], "with n from 1 to 256"),
        ([{**SEED, "shape": [10**30]}], "inputs.0.shape.0"),
        ([{**SEED, "shape": [-1]}], "inputs.0.shape.0"),
        ([{**SEED, "shape": [1] * 17}], "inputs.0.shape"),
        ([{**SEED, "data": [1.5]}], "inputs.seed.data: must be values of the datatype INT64"),
        ([{**SEED, "data": [True]}], "inputs.seed.data"),
        ([{**SEED, "data": ["1"]}], "inputs.seed.data"),
        ([{**SEED, "data": [None]}], "inputs.seed.data"),
        ([{**SEED, "data": [[0, 0]]}], "inputs.seed.data"),
        ([{**SEED, "data": [[[0]]]}], "inputs.seed.data"),
        ([{**SEED, "data": [2**63]}], "inputs.seed.data: must be within the range of INT64"),
        ([{**SEED, "data": [2**53 + 1]}], "inputs.seed: must be from 0 to"),
        ([{**SEED, "data": [-1]}], "inputs.seed: must be from 0 to"),
        ([{**SEED, "data": None}], "inputs.0: must have `data`"),
        ([{**SEED, "parameters": {"binary_data_size": 8}}], "inputs.0: must have `data`"),
        ([{**SEED, "parameters": {"shared_memory_region": "a"}}], "inputs.0.parameters.shared_memory_region"),
        ([{**SEED, "colour": 1}], "inputs.0.colour"),
        ([], "inputs"),
        ([SEED, SEED], "inputs: must have each name once"),
        ([SEED, tensor("blue", LABEL)], "inputs: must be named seed, label, steps, guidance, sampler"),
        ([tensor("label", LABEL)], "inputs.seed: must be given"),
        ([SEED, tensor("label", np.zeros(2, np.int64))], "equally many data, got seed 1, label 2"),
        ([SEED, tensor("label", LABEL + 4)], "inputs.label: must be classes from 0 to 2, or 3 for none"),
        ([SEED, tensor("label", LABEL - 1)], "inputs.label: must be classes from 0 to 2, or 3 for none"),
        ([SEED, tensor("steps", LABEL)], "steps: Input should be greater than or equal to 1"),
        ([SEED, tensor("steps", LABEL + 51)], "steps: must be from 1 to the schedule's 50 levels, got 51"),
        ([SEED, tensor("steps", np.array([3, 3]))], "inputs.steps.shape: must be [1]"),
        ([SEED, tensor("guidance", -T)], "guidance: Input should be greater than or equal to 0"),
        ([SEED, tensor("guidance", T, data=[1e39])], "inputs.guidance: must be finite"),
        ([SEED, tensor("guidance", T, data=[10**400])], "inputs.guidance.data"),
        ([SEED, tensor("sampler", "dimm")], "sampler: must be one of"),
        ([SEED, tensor("sampler", "ddim", data=[3])], "inputs.sampler.data"),
        ([SEED, tensor("sampler", "d" * 300)], "sampler: String should have at most 200"),
    ],
)
def test_what_a_sampler_cannot_take(client: TestClient, inputs: list[dict[str, Any]], word: str) -> None:
    assert word in refusal(ask(client, "default", *inputs))
    assert output(ask(client, "default", SEED)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"x": X[0]}, "inputs.x.shape: must be [n, 1, 8, 8]"),
        ({"x": X.astype(np.int64)}, "inputs.x.datatype: must be FP32"),
        ({"x": np.full_like(X, np.nan)}, "inputs.x: must be finite"),
        ({"t": np.ones((1, 2), np.float32)}, "inputs.t.shape: must be [n]"),
        ({"label": LABEL + 9}, "inputs.label: must be classes"),
        ({"label": np.zeros(2, np.int64)}, "equally many data"),
        ({"seed": LABEL}, "inputs: must be named x, t, label"),
    ],
)
def test_what_a_network_cannot_take(client: TestClient, changed: dict[str, Any], word: str) -> None:
    content, headers = binary({"x": X, "t": T, "label": LABEL, **changed})
    assert word in refusal(client.post(f"/v2/models/{NETWORK}/infer", content=content, headers=headers))


def test_a_network_s_inputs_must_all_be_given(client: TestClient) -> None:
    assert "inputs.label: must be given" in refusal(ask(client, NETWORK, tensor("x", X), tensor("t", T)))


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"parameters": {"priority": 1}}, "parameters.priority: is not supported"),
        ({"parameters": {"sequence_id": 1}}, "parameters.sequence_id: is not supported"),
        ({"parameters": {"blue": 1}}, "parameters.blue"),
        ({"parameters": {"binary_data_output": "yes"}}, "parameters.binary_data_output"),
        ({"outputs": [{"name": "out"}]}, "outputs: must be samples"),
        ({"outputs": [{"name": "samples"}] * 2}, "outputs: must be samples, once"),
        (
            {"outputs": [{"name": "samples", "parameters": {"classification": 2}}]},
            "outputs.0.parameters.classification: is not supported",
        ),
        (
            {"outputs": [{"name": "samples", "parameters": {"shared_memory_region": "a"}}]},
            "outputs.0.parameters.shared_memory_region: is not supported",
        ),
        ({"id": 3}, "id"),
        ({"colour": 3}, "colour"),
    ],
)
def test_what_a_request_may_not_say(client: TestClient, request_: dict[str, Any], word: str) -> None:
    assert word in refusal(ask(client, "default", SEED, **request_))


@pytest.mark.parametrize(
    ("cut", "begin", "word"),
    [
        (-1, None, "inputs.2.parameters.binary_data_size: must be at most the 7 bytes that are left"),
        (-9, None, "inputs.1.parameters.binary_data_size"),
        (None, "1", "body: Invalid JSON"),
        (None, "0", "body: Invalid JSON"),
        (None, "99999", f"{BEGIN}: must be"),
        (None, "-1", f"{BEGIN}: must be"),
        (None, "9" * 5000, f"{BEGIN}: must be"),
        (None, "many", f"{BEGIN}: must be"),
    ],
)
def test_a_body_that_was_cut_off_or_that_begins_elsewhere(
    client: TestClient, cut: int | None, begin: str | None, word: str
) -> None:
    content, headers = binary({"x": X, "t": T, "label": LABEL})
    headers = headers if begin is None else {**headers, BEGIN: begin}
    answer = client.post(f"/v2/models/{NETWORK}/infer", content=content[:cut], headers=headers)
    assert word in refusal(answer)


def test_bytes_that_nobody_announced(client: TestClient) -> None:
    content, headers = binary({"x": X, "t": T, "label": LABEL})
    answer = client.post(f"/v2/models/{NETWORK}/infer", content=content + b"1", headers=headers)
    assert "body: must end with its last tensor, but 1 bytes are left" in refusal(answer)
    del headers[BEGIN]
    assert "body: Invalid JSON" in refusal(client.post(f"/v2/models/{NETWORK}/infer", content=content, headers=headers))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("sampler", b""),
        ("sampler", b"\x05\0\0\0ddim"),
        ("sampler", b"\xff\xff\xff\xffddim"),
        ("sampler", b"\1\0\0\0\xff"),
    ],
)
def test_a_text_whose_length_is_wrong_or_that_is_none(client: TestClient, name: str, data: bytes) -> None:
    sized = {"name": name, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [SEED, sized]}).encode()
    answer = client.post("/v2/models/default/infer", content=head + data, headers={BEGIN: str(len(head))})
    assert "inputs.sampler" in refusal(answer)


@pytest.mark.parametrize("size", [0, 8, 255, 260, 2**62])
def test_a_size_that_is_not_that_of_the_shape(client: TestClient, size: int) -> None:
    sized = {"name": "x", "datatype": "FP32", "shape": [1, 1, 8, 8], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor("t", T), tensor("label", LABEL), sized]}).encode()
    content = head + bytes(min(size, 300))
    answer = client.post(f"/v2/models/{NETWORK}/infer", content=content, headers={BEGIN: str(len(head))})
    assert "binary_data_size: must be" in refusal(answer)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"[" * 4000, b'{"inputs":' * 300, b'{"id": "\\ud800"}', b"\xff\xfe", b'{"inputs": NaN}'],
)
def test_what_is_no_request(client: TestClient, body: bytes) -> None:
    assert refusal(client.post("/v2/models/default/infer", content=body))


def test_a_long_text_among_numbers_is_no_memory_bomb(client: TestClient) -> None:
    """numpy would make each number as long as the text."""
    data = ["a" * 1000, *[0] * 255]
    assert "datatype" in refusal(ask(client, "default", {**SEED, "shape": [256], "data": data}))


def test_a_large_body_is_refused_and_a_batch_in_bytes_is_not(client: TestClient) -> None:
    n = 256
    whole = {"x": np.zeros((n, 1, 8, 8), np.float32), "t": np.ones(n, np.float32), "label": np.zeros(n, np.int64)}
    content, headers = binary(whole, parameters={"binary_data_output": True})
    path = f"/v2/models/{NETWORK}/infer"
    assert output(client.post(path, content=content, headers=headers)).shape == (n, 1, 8, 8)
    assert "at most" in refusal(client.post(path, content=content + bytes(20_000), headers=headers), 413)
    in_json = [tensor(*each) for each in whole.items()]
    assert "at most" in refusal(client.post(path, json={"inputs": in_json}), 413)


def test_what_costs_too_much_is_refused(client: TestClient) -> None:
    steps = tensor("steps", np.array([50]))
    assert "must be at most 1000, got 1050" in refusal(ask(client, "default", seeds(*range(21)), steps))


@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {"Content-Type": "text/plain"}])
def test_compressed_bodies_and_other_media(client: TestClient, headers: dict[str, str]) -> None:
    assert refusal(client.post("/v2/models/default/infer", content=b"{}", headers=headers), 415)


@pytest.mark.parametrize("what", ["", "/ready", "/infer", "/versions/1", "/versions/1/ready", "/versions/1/infer"])
def test_unknown_models_and_versions(client: TestClient, what: str) -> None:
    method = "POST" if what.endswith("/infer") else "GET"
    for name in ("six", "six.network", "default.network.network", "default.", ".network"):
        text = refusal(client.request(method, f"/v2/models/{name}{what}"), 404)
        assert "GET /v1/models" in text
        assert "six" not in text
    if "versions" in what:
        assert "version: must be" in refusal(client.request(method, f"/v2/models/default{what}"), 404)


def test_paths_and_methods_that_are_none(client: TestClient) -> None:
    assert refusal(client.get("/v2/blue"), 404)
    assert refusal(client.get("/v2/models/default/infer"), 405)
    assert client.get("/v2other").json()["error"]["code"] == "not_found"
