"""A table with attributes goes the whole way, on pictures wider than high: from its columns to a served model."""

import base64
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.sources import PictureTable
from pipelines.paths import Paths
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from pipelines.shards.archive import read_index, read_split
from tests.support.picture_chain import chain

WIDTH, HEIGHT = 16, 8
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 220)}


def _table(root: Path) -> PictureTable:
    """A bar that lies or stands, in one of three colours; of a few pictures no colour is known."""
    folder = root / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(240):
        what, colour = ("lies", "stands")[i % 2], list(COLOURS)[i // 2 % 3]
        pixels = rng.integers(0, 20, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        place = int(rng.integers(1, HEIGHT - 2)) if what == "lies" else int(rng.integers(1, WIDTH - 2))
        pixels[(slice(place, place + 2), slice(None)) if what == "lies" else (slice(None), slice(place, place + 2))] = (
            COLOURS[colour]
        )
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
        rows.append((f"{i:03}.png", what, "" if i % 20 == 7 else colour, i % 2 + 1))
    with (folder / "bars.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("file", "what", "farbe", "n"), *rows])
    return PictureTable(
        kind="picture_table", path="raw", table="bars.csv", picture_column="file", label_column="what", delimiter=",",
        attributes={"colour": "farbe"}, resolution=(WIDTH, HEIGHT), channels="rgb", fit="crop", filter="box",
        background=(255, 255, 255), min_side=4, max_megapixels=1.0, max_megabytes=1.0, clusters=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    root = tmp_path_factory.mktemp("bars")
    return chain(root, _table(root))


@pytest.fixture(scope="module")
def client(finished: Paths) -> Iterator[TestClient]:
    with TestClient(create_app(Sampler.open(finished.bundle, "cpu"), Limits(10_000, 4, 1, 60.0, 10_000))) as client:
        yield client


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_shards_bundle_and_samples_have_the_attribute_and_the_rectangle(finished: Paths) -> None:
    spec = read_index(finished.shards).spec
    assert spec.shape == (3, HEIGHT, WIDTH)
    assert set(spec.attributes) == {"colour"}
    assert (read_split(finished.shards, "train").cond["colour"] == 3).sum() > 0
    assert read(finished.bundle / "bundle.json")["spec"]["conditions"].keys() == {"label", "colour"}
    with np.load(finished.samples / "images.npz") as made:
        assert made["images"].shape[1:] == spec.shape
        assert set(np.unique(made["colour"])) <= {-1, 0, 1, 2}
        assert (made["colour"] >= 0).sum() > 50
    with Image.open(finished.samples / "grid_colour.png") as grid:
        assert grid.height < grid.width


def test_the_classifier_tells_the_attribute_and_a_rule_of_its_own_judges_it(finished: Paths) -> None:
    classifier = read(finished.reference / "reference.json")["classifier"]
    assert classifier["used"] is True
    assert classifier["attributes"]["colour"]["accuracy"] > 0.9
    numbers = read(finished.metrics)
    assert numbers["accuracy_heldout_colour"] == pytest.approx(classifier["attributes"]["colour"]["accuracy"])
    assert numbers["known_colour"] == classifier["attributes"]["colour"]["known"] < numbers["n_heldout"]
    assert numbers["asked_colour"] == numbers["known_colour"]  # samples are asked as the test split is
    rules = {rule["rule"]: rule for rule in read(finished.gate)["rules"]}
    assert rules["asked colour"]["outcome"] == "fail"  # of a network of 12 steps
    assert "classified as the colour asked for" in rules["asked colour"]["text"]
    assert rules["asked label"]["outcome"] in ("fail", "pass", "not enough evidence")


def test_the_report_shows_the_samples_by_attribute(finished: Paths) -> None:
    page = (finished.report / "index.html").read_text()
    assert "The same by colour, a row a class" in page
    assert "blue, green, red" in page


def test_each_attribute_is_told_to_the_network(finished: Paths) -> None:
    sampler = Sampler.open(finished.bundle, "cpu")
    recipe = sampler.recipe(guidance=2.0)
    made = [sampler.sample(recipe, [0], {"label": [0], "colour": [colour]}) for colour in (0, 1, 2, None)]
    assert len({each.tobytes() for each in made}) == 4
    assert (made[3] == sampler.sample(recipe, [0], {"label": [0]})).all()


def test_it_is_served_by_its_own_route_and_by_openai_s(client: TestClient) -> None:
    info = client.get("/v1/models/default").json()
    assert info["conditions"]["colour"]["classes"] == ["blue", "green", "red"]
    body = {"n": 2, "label": "lies", "attributes": {"colour": "green"}, "seed": 3, "format": "zip"}
    answer = client.post("/v1/images", json=body)
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        told = json.loads(archive.read("index.json"))["pictures"]
        assert [each["attributes"] for each in told] == [{"colour": 1}] * 2
        with Image.open(io.BytesIO(archive.read(told[0]["file"]))) as picture:
            assert picture.size == (WIDTH, HEIGHT)
            assert picture.text["ddpm colour"] == "1"
            own = np.asarray(picture)
    body = {"prompt": "lies; colour=green", "n": 1, "seed": 3, "size": f"{WIDTH}x{HEIGHT}"}
    answer = client.post("/v1/images/generations", json=body)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"][0]
    assert answer.json()["size"] == f"{WIDTH}x{HEIGHT}"
    assert data["revised_prompt"] == "lies; colour=green"
    with Image.open(io.BytesIO(base64.b64decode(data["b64_json"]))) as picture:
        assert (np.asarray(picture) == own).all()
    wrong = client.post("/v1/images", json={"attributes": {"colour": "pink"}})
    assert wrong.status_code == 422
    assert "attributes.colour" in wrong.text
    turned = client.post("/v1/images/generations", json={"prompt": "lies", "size": f"{HEIGHT}x{WIDTH}"})
    assert turned.status_code == 400
    assert f"{WIDTH}x{HEIGHT}" in turned.text


def test_arrays_and_the_interpolation_tell_the_attribute(client: TestClient) -> None:
    answer = client.post("/v1/images", json={"n": 3, "attributes": {"colour": "cycle"}, "format": "npz"})
    with np.load(io.BytesIO(answer.content)) as arrays:
        assert arrays["colour"].tolist() == [0, 0, 1]
        assert arrays["labels"].tolist() == [0, 1, 0]
    body = {"seed": 1, "to_seed": 2, "label": "lies", "attributes": {"colour": "red"}, "n": 2}
    way = client.post("/v1/images/interpolations", json=body)
    assert way.status_code == 200, way.text
    body["attributes"] = {"colour": "blue"}
    assert client.post("/v1/images/interpolations", json=body).json()["data"] != way.json()["data"]


def test_a_row_of_the_registered_model_has_a_column_for_it(finished: Paths) -> None:
    from pipelines.tracking.mlflow_model import SamplerModel, signature

    spec: DataSpec = read_index(finished.shards).spec
    assert "attribute_colour" in signature(spec).inputs.input_names()
    model = SamplerModel()
    model.load_context(type("Context", (), {"artifacts": {"bundle": str(finished.bundle)}})())
    rows = [{"n": 1, "label": 0, "attribute_colour": "red"}, {"n": 1, "label": 0}]
    first, second = model.predict(None, rows)
    assert (first["attribute_colour"], second["attribute_colour"]) == (2, -1)
    assert first["png_base64"] != second["png_base64"]
