"""The HTTP service: its pictures are the sampler's, its refusals are clear, and hostile requests change nothing."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
from fastapi.testclient import TestClient

from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from tests.support.served import LIMITS, post

JSON = {"Content-Type": "application/json"}


def test_a_picture_is_the_sampler_s_own(client: TestClient, sampler: Sampler) -> None:
    answer = post(client, label=2, seed=5, steps=6, guidance=1.0)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(
        decode_png(answer.content), sampler.sample(sampler.recipe(steps=6, guidance=1.0), [5], {"label": [2]})[0]
    )


def test_headers_say_what_made_the_pictures(client: TestClient, sampler: Sampler) -> None:
    answer = post(client, n=3, seed=10, sampler="heun", steps=5)
    assert answer.headers["x-seeds"] == "10,11,12"
    assert answer.headers["x-bundle"] == sampler.bundle.digest
    assert (answer.headers["x-sampler"], answer.headers["x-steps"], answer.headers["x-guidance"]) == ("heun", "5", "0")


def test_the_same_request_gives_the_same_bytes_in_every_format(client: TestClient) -> None:
    for kind in ("png", "zip", "npz"):
        assert post(client, n=3, format=kind).content == post(client, n=3, format=kind).content


def test_zip_and_npz_hold_the_same_pictures_and_neighbours_change_none(client: TestClient, sampler: Sampler) -> None:
    body = {"labels": ["one", 2, None, "none"], "seed": 7}
    with np.load(io.BytesIO(post(client, **body, format="npz").content)) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert labels.tolist() == [1, 2, -1, -1]
    with zipfile.ZipFile(io.BytesIO(post(client, **body, format="zip").content)) as archive:
        for image, entry in zip(images, json.loads(archive.read("index.json"))["pictures"], strict=True):
            np.testing.assert_array_equal(decode_png(archive.read(entry["file"])), image)
    alone = post(client, label=2, seed=8)
    np.testing.assert_array_equal(decode_png(alone.content), images[1])


def test_labels_go_in_turn_unless_told(client: TestClient) -> None:
    with np.load(io.BytesIO(post(client, n=4, format="npz").content)) as arrays:
        assert arrays["labels"].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: Invalid JSON"),
        (b"not json", "body: Invalid JSON"),
        (b"[]", "body: Input should be"),
        (b"null", "body: Input should be"),
        (b'{"n": 0}', "n: Input should be greater than or equal to 1"),
        (b'{"n": -1}', "n: Input should be greater than or equal to 1"),
        (b'{"n": 257}', "n: Input should be less than or equal to 256"),
        (b'{"n": "1"}', "n: Input should be a valid integer"),
        (b'{"n": true}', "n: Input should be a valid integer"),
        (b'{"n": 1.5}', "n: Input should be a valid integer"),
        (b'{"n": 1e400}', "n: "),
        (b'{"n": NaN}', "n: "),
        (b'{"seed": 9007199254740993}', "seed: Input should be less than"),
        (b'{"seed": 1' + b"0" * 400 + b"}", "seed: "),
        (b'{"seed": -1}', "seed: Input should be greater"),
        (b'{"steps": 1000000000}', "steps: Input should be less than"),
        (b'{"steps": 51}', "steps: must be from 1 to the schedule's 50 levels, got 51"),
        (b'{"guidance": NaN}', "guidance: "),
        (b'{"guidance": Infinity}', "guidance: "),
        (b'{"guidance": 1e999}', "guidance: "),
        (b'{"guidance": -0.1}', "guidance: Input should be greater than or equal to 0"),
        (b'{"sampler": "dimm"}', "sampler: must be one of .* got 'dimm'; did you mean 'ddim'\\?"),
        (b'{"sampler": 3}', "sampler: Input should be a valid string"),
        (b'{"label": "thre"}', "label: must be `cycle`, `none`, or classes .*got 'thre'"),
        (b'{"label": 3}', "label: must be .*got 3; the classes are zero, one, two"),
        (b'{"label": true}', "^label: Input should be a class by number or name, or null$"),
        (b'{"labels": [1, 2.5]}', r"^labels\.1: Input should be a class by number or name, or null$"),
        (b'{"labels": []}', "labels: List should have at least 1 item"),
        (b'{"labels": ["one", "on"]}', "labels: must be .*got 'on'; did you mean 'one'\\?"),
        (b'{"labels": [0], "label": 1}', "give `label` or `labels`, not both"),
        (b'{"labels": [0, 1], "n": 3}', "n must be the number of `labels`, 2, got 3"),
        (b'{"format": "gif"}', "format: Input should be 'png', 'zip' or 'npz'"),
        (b'{"n": 1, "extra": 1}', "extra: Extra inputs are not permitted"),
        (b'{"\\ud800": 1}', "."),
        (b'{"label": "\\ud800"}', "."),
        (b'{"label": "\xff\xfe"}', "."),
        (b'{"' + b"k" * 3000 + b'": 1}', "k{80}: Extra inputs"),
        (b"[" * 4000, "body: "),
        (b'{"a":' * 700, "body: "),
    ],
)
def test_hostile_and_mistaken_bodies_are_refused_and_the_service_lives(
    client: TestClient, body: bytes, message: str
) -> None:
    answer = client.post("/v1/images", content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "invalid_request"
    assert re.search(message, error["message"]), error["message"]
    assert len(answer.content) < 4000
    assert post(client).status_code == 200


def test_all_faults_are_told_at_once_field_by_field(client: TestClient) -> None:
    fields = post(client, n=0, steps="x", colour="red").json()["error"]["fields"]
    assert [fault["field"] for fault in fields] == ["n", "steps", "colour"]


def test_a_costly_request_is_refused_with_its_cost(client: TestClient) -> None:
    answer = post(client, n=200, steps=50, guidance=1)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["cost"], error["limit"]) == ("too_costly", 20_000, 1000)
    assert "must be at most 1000, got 20000; ask for fewer" in error["message"]


@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_a_request_may_cost_the_limit_and_not_one_evaluation_more(sampler: Sampler, guidance: float) -> None:
    """n pictures of ddim cost n times the steps, and twice that with guidance at every step."""
    times = 2 if guidance else 1
    limits = Limits(cost=12 * times, waiting=2, at_once=1, seconds=30.0, body_bytes=4096)
    with TestClient(create_app(sampler, limits)) as client:
        for n, steps, status in ((12, 1, 200), (3, 4, 200), (1, 12, 200), (13, 1, 422), (1, 13, 422), (5, 3, 422)):
            answer = post(client, n=n, steps=steps, guidance=guidance, sampler="ddim")
            assert answer.status_code == status, (n, steps)
            if status == 422:
                assert answer.json()["error"]["cost"] == n * steps * times


def test_a_large_body_is_refused_whether_it_says_its_size_or_not(client: TestClient) -> None:
    large = b'{"n": 1' + b" " * 5000 + b"}"
    for content in (large, iter([large[:3000], large[3000:]])):
        answer = client.post("/v1/images", content=content, headers=JSON)
        assert answer.status_code == 413
        assert "at most 4096 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_what_is_not_json_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/v1/images", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "send JSON, with the header Content-Type: application/json" in answer.json()["error"]["message"]


def test_unknown_paths_and_methods_answer_in_the_same_shape(client: TestClient) -> None:
    assert client.get("/v0").json()["error"]["code"] == "not_found"
    answer = client.get("/v1/images")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert client.get("/docs").status_code == 404


def test_model_and_health_are_told(client: TestClient, sampler: Sampler) -> None:
    about = client.get("/v1/model").json()
    assert about["bundle"] == sampler.bundle.digest
    assert about["classes"] == ["zero", "one", "two"]
    assert about["limits"] == {
        "cost": 1000,
        "waiting": 2,
        "at_once": 1,
        "seconds": 30.0,
        "body_bytes": 4096,
        "batch": 1,
        "pictures": 256,
    }
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_not_ready_before_the_start_and_after_the_end(sampler: Sampler) -> None:
    app = create_app(sampler, LIMITS)
    before = TestClient(app)  # without `with` nothing is started
    assert before.get("/health/ready").status_code == 503
    answer = post(before)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert int(answer.headers["retry-after"]) >= 1
    with TestClient(app) as started:
        assert started.get("/health/ready").status_code == 200
    assert before.get("/health/ready").status_code == 503


def test_openapi_describes_the_request_and_its_examples_are_served(client: TestClient) -> None:
    openapi = client.get("/openapi.json").json()
    operation = openapi["paths"]["/v1/images"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert set(content["schema"]["properties"]) == {
        "n",
        "label",
        "labels",
        "attributes",
        "steps",
        "sampler",
        "guidance",
        "seed",
        "model",
        "format",
    }
    assert content["schema"]["additionalProperties"] is False
    assert {"200", "404", "413", "415", "422", "429", "503", "504"} <= set(operation["responses"])
    for example in content["examples"].values():
        body = {key: value for key, value in example["value"].items() if key not in ("label", "labels")}
        assert post(client, **body).status_code == 200
