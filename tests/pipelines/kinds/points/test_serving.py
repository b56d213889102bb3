"""Points served: the bytes of each format, what a request may ask, and the sampler's own points in every answer."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ddpm_core.errors import ParamsError
from pipelines.kinds.points.serving import PointsRequest, ServingPoints
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.base.serving import Samples
from pipelines.serving.service import Limits
from tests.support.points_bundle import points_bundle

SERVING = ServingPoints()
MADE = Samples(np.array([[0.1, -2.5], [1e-7, 3e10]], dtype=np.float32), {"label": [1, None]}, [7, 8], {"bundle": "abc"})


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    folder = tmp_path_factory.mktemp("served") / "bundle"
    points_bundle(folder)
    return Sampler.open(folder, device="cpu", threads=1)


@pytest.fixture(scope="module")
def client(sampler: Sampler) -> Iterator[TestClient]:
    with TestClient(
        create_app(sampler, Limits(cost=1000, waiting=2, at_once=1, seconds=30.0, body_bytes=4096))
    ) as made:
        yield made


def post(client: Any, **body: Any) -> Any:
    return client.post("/v1/points", json=body)


def test_json_holds_each_point_with_its_label_and_seed_in_the_fewest_digits() -> None:
    found = json.loads(SERVING.encode(MADE, "json"))
    assert found == {
        "made_by": {"bundle": "abc"},
        "points": [
            {"x": 0.1, "y": -2.5, "label": 1, "seed": 7},
            {"x": 1e-7, "y": 3e10, "label": None, "seed": 8},
        ],
    }
    assert b"\n0.1,-2.5,1,7\n" in SERVING.encode(MADE, "csv")


def test_every_format_holds_the_very_float32() -> None:
    rows = list(csv.DictReader(io.StringIO(SERVING.encode(MADE, "csv").decode())))
    listed = json.loads(SERVING.encode(MADE, "json"))["points"]
    with np.load(io.BytesIO(SERVING.encode(MADE, "npz"))) as arrays:
        np.testing.assert_array_equal(arrays["points"], MADE.data)
        assert (arrays["labels"].tolist(), arrays["seeds"].tolist()) == ([1, -1], [7, 8])
    for of in (rows, listed):
        np.testing.assert_array_equal(np.array([[row["x"], row["y"]] for row in of], dtype=np.float32), MADE.data)
    assert [(row["label"], row["seed"]) for row in rows] == [("1", "7"), ("", "8")]


@pytest.mark.parametrize("format", ServingPoints.media)
def test_the_same_points_give_the_same_bytes(format: str) -> None:
    assert SERVING.encode(MADE, format) == SERVING.encode(MADE, format)


def test_a_png_says_how_its_points_were_made() -> None:
    png = SERVING.encode(MADE, "png")
    assert png.startswith(b"\x89PNG")
    assert b"ddpm bundle" in png
    assert b"7 to 8" in png


def test_a_record_of_the_registered_model_has_the_columns_that_are_told() -> None:
    assert SERVING.record(MADE.data[0]) == {"x": 0.1, "y": -2.5}
    assert set(SERVING.columns) == {"x", "y"}


@pytest.mark.parametrize("name", ["points.csv", "points.json", "points.npz", "points.png"])
def test_the_ending_of_a_file_is_a_format(name: str) -> None:
    assert SERVING.format_of(Path(name)) == name.split(".")[1]


@pytest.mark.parametrize("name", ["points", "points.txt", "points.zip"])
def test_another_ending_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ParamsError, match=rf"--out: must end in \.json, \.csv, \.npz or \.png, got {name}"):
        SERVING.format_of(Path(name))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"format": "zip"}, "format"),
        ({"x": 1}, "x"),
        ({"n": 0}, "n"),
        ({"seed": -1}, "seed"),
        ({"label": 1.5}, "label"),
    ],
)
def test_a_request_that_is_not_allowed_is_refused_by_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PointsRequest.from_json(json.dumps(body).encode())
    assert [fault["field"] for fault in caught.value.faults] == [field]


# ---- over HTTP


def test_an_answer_is_json_unless_told_and_holds_the_sampler_s_own_points(client: TestClient, sampler: Sampler) -> None:
    answer = post(client, labels=["upper", 0, None], seed=5)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    own = sampler.sample(sampler.recipe(), [5, 6, 7], {"label": [1, 0, None]})
    found = answer.json()["points"]
    np.testing.assert_array_equal(np.array([[each["x"], each["y"]] for each in found], dtype=np.float32), own)
    assert [each["label"] for each in found] == [1, 0, None]
    assert abs(own - [10.0, -5.0]).max() < 20  # in the units of the data, and not of the network


@pytest.mark.parametrize(("format", "media"), [("csv", "text/csv; charset=utf-8"), ("npz", "application/octet-stream")])
def test_other_formats_have_their_media_type(format: str, media: str, client: TestClient) -> None:
    answer = post(client, n=2, format=format)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)


def test_a_point_does_not_depend_on_its_neighbours_in_the_request(client: TestClient) -> None:
    many, alone = post(client, n=4, label=0, seed=3).json(), post(client, label=0, seed=5).json()
    assert many["points"][2] == alone["points"][0]


def test_bad_requests_and_other_routes_are_refused(client: TestClient) -> None:
    assert post(client, label="uper").status_code == 422
    assert "did you mean 'upper'" in post(client, label="uper").text
    assert client.post("/v1/images", json={}).status_code == 404


def test_the_golden_point_is_known_again(sampler: Sampler) -> None:
    assert sampler.check_golden() in ("equal", "near")
    assert sampler.golden_difference() == pytest.approx(0.0, abs=1e-6)
