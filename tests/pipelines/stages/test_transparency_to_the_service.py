"""Pictures whose transparency is kept go the whole way, from a folder to the service."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pipelines.kinds.pictures.rows.decode import straight
from pipelines.kinds.pictures.sources import ImageFolder
from pipelines.paths import Paths
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from pipelines.shards.archive import read_index, read_split
from tests.support.picture_chain import chain

GROUND = (0, 0, 90)


def _folder(root: Path) -> ImageFolder:
    """Half-transparent squares and crosses in nothing, which hides colours of chance."""
    rng = np.random.default_rng(0)
    for i in range(200):
        pixels = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
        pixels[:, :, 3] = 0
        x, y = rng.integers(1, 5, 2)
        seen = np.array([200, rng.integers(0, 256), 30, 128 if i % 3 else 255], np.uint8)
        if i % 2:
            pixels[y : y + 3, x : x + 3] = seen
        else:
            pixels[y + 1], pixels[:, x + 1] = seen, seen
        place = root / "raw" / ("cross", "square")[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, "RGBA").save(place)
    return ImageFolder(
        kind="image_folder", path="raw", labels="folders", resolution=8, channels="rgba", fit="crop", filter="box",
        background=GROUND, min_side=4, max_megapixels=1.0, max_megabytes=1.0, clusters=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    root = tmp_path_factory.mktemp("clear")
    return chain(root, _folder(root))


@pytest.fixture(scope="module")
def client(finished: Paths) -> Iterator[TestClient]:
    with TestClient(create_app(Sampler.open(finished.bundle, "cpu"), Limits(10_000, 4, 1, 60.0, 10_000))) as client:
        yield client


def test_the_data_have_four_channels_and_no_hidden_colours(finished: Paths) -> None:
    spec = read_index(finished.shards).spec
    assert (spec.shape, dict(spec.about)) == ((4, 8, 8), {"background": list(GROUND)})
    x = read_split(finished.shards, "train").x
    assert not x[:, :3][np.broadcast_to(x[:, 3:] == 0, x[:, :3].shape)].any()


def test_features_and_grids_are_of_what_is_seen_on_the_stated_background(finished: Paths) -> None:
    reference = json.loads((finished.reference / "reference.json").read_bytes())
    listed = {each["name"]: each["preprocess"] for each in reference["extractors"]}
    assert listed["efficientnet_lite0"].startswith("laid on 0, 0, 90; ")
    assert listed["classifier"].startswith("levels to [-1, 1]")
    with Image.open(finished.samples / "real.png") as grid:
        assert grid.mode == "RGB"
        assert GROUND in {colour for _, colour in grid.getcolors(100_000)}
    assert "shown and judged on the background 0, 0, 90" in (finished.report / "index.html").read_text()


def opened(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture


def test_png_and_webp_have_the_alpha_of_the_samples(client: TestClient, finished: Paths) -> None:
    sampler = Sampler.open(finished.bundle, "cpu")
    expected = straight(sampler.sample(sampler.recipe(), [5], {"label": [1]})[0]).transpose(1, 2, 0)
    answer = client.post("/v1/images", json={"n": 1, "label": "square", "seed": 5})
    assert answer.status_code == 200, answer.text
    assert (np.asarray(opened(answer.content)) == expected).all()
    for format in ("png", "webp"):
        body = {"prompt": "square", "seed": 5, "output_format": format, "background": "transparent"}
        answer = client.post("/v1/images/generations", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["background"] == "transparent"
        picture = opened(base64.b64decode(answer.json()["data"][0]["b64_json"]))
        assert picture.mode == "RGBA"
        assert (np.asarray(picture) == expected).all()
    grid = opened(client.post("/v1/images", json={"n": 4, "seed": 0}).content)
    assert grid.mode == "RGBA"


def test_jpeg_is_refused_by_its_name(client: TestClient) -> None:
    answer = client.post("/v1/images/generations", json={"prompt": "square", "output_format": "jpeg"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "output_format"
    assert "must be png or webp" in answer.json()["error"]["message"]


def test_an_edit_keeps_the_picture_s_own_transparency(client: TestClient) -> None:
    picture = client.post("/v1/images", json={"n": 1, "label": "cross", "seed": 1}).content
    mask = np.zeros((8, 8, 4), np.uint8)
    mask[:, 4:, 3] = 255  # kept on the right
    stream = io.BytesIO()
    Image.fromarray(mask, "RGBA").save(stream, "PNG")
    files = {"image": ("picture.png", picture), "mask": ("mask.png", stream.getvalue())}
    answer = client.post("/v1/images/edits", data={"prompt": "cross", "n": "1"}, files=files)
    assert answer.status_code == 200, answer.text
    before = np.asarray(opened(picture)).astype(int)
    after = np.asarray(opened(base64.b64decode(answer.json()["data"][0]["b64_json"]))).astype(int)
    assert (after[:, 4:, 3] == before[:, 4:, 3]).all()
    seen = before[:, 4:, 3:] > 64
    assert np.abs((after - before)[:, 4:])[np.broadcast_to(seen, (8, 4, 4))].max() <= 4  # the rounding of thin colours
