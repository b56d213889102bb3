"""`POST /v1/images/interpolations`: what `ddpm edit interpolate` makes, with both ends the samples of their seeds."""

from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor

PATH = "/v1/images/interpolations"


def pictures(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return np.stack([decode_png(b64decode(each["b64_json"])) for each in answer.json()["data"]])


@pytest.mark.parametrize("kind", ["ddim", "ancestral"])
def test_the_way_is_the_editor_s_and_ends_at_the_samples_of_both_seeds(
    client: TestClient, sampler: Sampler, kind: str
) -> None:
    answer = client.post(PATH, json={"seed": 3, "to_seed": 8, "label": "two", "n": 5, "sampler": kind, "steps": 6})
    found, recipe = pictures(answer), sampler.recipe(kind, 6)
    np.testing.assert_array_equal(found, Editor(sampler, recipe, 5, {"label": [2] * 5}).interpolate(3, 8))
    np.testing.assert_array_equal(found[0], sampler.sample(recipe, [3], {"label": [2]})[0])
    if kind == "ddim":  # the noise of later rows is that of the first seed
        np.testing.assert_array_equal(found[-1], sampler.sample(recipe, [8], {"label": [2]})[0])
    assert [each["share"] for each in answer.json()["data"]] == [0, 0.25, 0.5, 0.75, 1]
    assert answer.json()["made_by"]["to_seed"] == "8"


def test_a_batch_of_several_parts_gives_the_same_pictures(sampler: Sampler) -> None:
    editor = Editor(sampler, sampler.recipe("ddim", 4), 5)
    whole = editor.interpolate(1, 2)
    np.testing.assert_array_equal(editor.run(editor.interpolation(1, 2), [1] * 5, batch_size=2), whole)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "to_seed"),
        ({"to_seed": -1}, "to_seed"),
        ({"to_seed": 1, "n": 1}, "n"),
        ({"to_seed": 1, "labels": [1]}, "labels"),
        ({"to_seed": 1, "format": "zip"}, "format"),
    ],
)
def test_a_refusal_names_its_field(client: TestClient, body: dict[str, Any], field: str) -> None:
    answer = client.post(PATH, json=body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["error"]["fields"]] == [field]
