"""A student beside its teacher in one service: found by the digest, asked by its name, refused what it is not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.errors import ParamsError
from pipelines.kinds.pictures.rows.decode import encode_png
from pipelines.serving.app import app_of
from pipelines.serving.hosted import Models, Version
from pipelines.serving.start import FAST, refuse_unless_student
from tests.support.hosting import MANY, service_of, versions
from tests.support.served import post
from tests.support.students import anywhere, at_levels, student


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder: Path = tmp_path_factory.mktemp("fast")
    teacher, other = (read_bundle(each) for each in versions(folder, 2))
    fast = student(folder / "fast", anywhere(teacher.digest), steps=3, seed=7).bundle
    faster = student(folder / "faster", at_levels(teacher.digest), seed=8).bundle
    return {"teacher": teacher, "other": other, "fast": fast, "faster": faster}


def models_of(bundles: dict[str, Bundle], *names: str) -> Models:
    models = Models(MANY.waiting, MANY.at_once)
    for name in names:
        models.add(name, version(bundles[name]))
    return models


def version(bundle: Bundle) -> Version:
    return Version(service_of(bundle), lambda: service_of(bundle))


@pytest.fixture
def client(bundles: dict[str, Bundle]) -> Iterator[TestClient]:
    with TestClient(app_of(models_of(bundles, "faster", "other", "teacher", "fast"))) as made:
        yield made


def test_each_model_tells_its_teacher_and_its_students_nearest_first(
    client: TestClient, bundles: dict[str, Bundle]
) -> None:
    cards = {card["id"]: card for card in client.get("/v1/models").json()["data"]}
    digest = bundles["teacher"].digest
    assert {name: card["students"] for name, card in cards.items()} == {
        "teacher": ["fast", "faster"], "other": [], "fast": [], "faster": []
    }  # fmt: skip
    assert {name: card["teacher"] for name, card in cards.items()} == {
        "teacher": None, "other": None, "fast": digest, "faster": digest
    }  # fmt: skip
    assert [cards[name]["evaluations"] for name in ("teacher", "fast", "faster")] == [4, 3, 2]
    one = client.get("/v1/models/faster").json()
    assert (one["student"]["teacher"], one["student"]["sampler"]["levels"]) == (digest, [50, 25, 0])
    assert client.get("/v1/models/teacher").json()["student"] is None


def test_a_variant_stands_for_the_teacher_and_a_new_version_does_not(bundles: dict[str, Bundle]) -> None:
    models = models_of(bundles, "teacher", "fast")
    old = bundles["teacher"]
    variant = replace(old, provenance={**old.provenance, "variant": {"name": "int8", "of": old.digest}})
    assert variant.digest != old.digest
    for served, students in ((variant, ["fast"]), (bundles["other"], [])):
        models.switch("teacher", version(served))
        assert models.card("teacher")["students"] == students


def test_openai_s_routes_take_the_student_by_its_name(client: TestClient, bundles: dict[str, Bundle]) -> None:
    for name in ("teacher", "fast", "faster"):
        answer = client.post("/v1/images/generations", json={"prompt": "one", "seed": 3, "model": name})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-bundle"] == bundles[name].digest
        assert answer.json()["data"][0]["b64_json"]


def test_what_a_student_is_not_valid_for_is_refused(client: TestClient) -> None:
    for asked in ({"guidance": 0.5}, {"steps": 5}, {"sampler": "ddim"}):
        answer = post(client, model="faster", **asked)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
        assert next(iter(asked)) in answer.json()["error"]["message"]
    fields = post(client, model="faster", guidance=0.5, steps=5, sampler="ddim", label="x").json()["error"]["fields"]
    assert [fault["field"] for fault in fields] == ["guidance", "sampler", "label"]
    assert post(client, model="fast", steps=5, sampler="ddim").status_code == 200
    files = {"image": ("a.png", encode_png(np.zeros((1, 8, 8), np.uint8)), "image/png")}
    answer = client.post("/v1/images/edits", files=files, data={"model": "faster", "prompt": "one", "strength": "0.5"})
    assert answer.status_code == 400, answer.text
    assert "at [50, 25, 0] alone" in answer.json()["error"]["message"]


def test_the_fast_mode_must_be_a_student_of_what_is_served(bundles: dict[str, Bundle]) -> None:
    for fast, others, told in (
        ("other", ["teacher"], "got a bundle that is no student"),
        ("fast", ["other"], f"got a student of {bundles['teacher'].digest[:16]}"),
    ):
        models = models_of({**bundles, FAST: bundles[fast]}, *others, FAST)
        with pytest.raises(ParamsError, match=f"--fast: must be a student of a model that is served .*{told}"):
            refuse_unless_student(models)
    refuse_unless_student(models_of(bundles, "teacher", FAST))
