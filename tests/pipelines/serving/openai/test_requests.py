"""What OpenAI's bodies come to: seeds and classes; what the model has not is refused by its name."""

import json
from typing import Any

import numpy as np
import pytest

from ddpm_core.samplers.config import sampler_kinds
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.openai.requests import ImageEdit, ImageGeneration
from pipelines.serving.openai.stream import partial_rows
from tests.support.tiny_bundle import tiny_spec

SPEC = tiny_spec()


def body(**values: Any) -> bytes:
    return json.dumps({"prompt": "none", **values}).encode()


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({"prompt": "two"}, [2]),
        ({"prompt": " 1 , zero"}, [1, 0]),
        ({"prompt": "1,zero", "n": 5}, [1, 0, 1, 0, 1]),
        ({"prompt": "none", "n": 2}, [None, None]),
        ({"prompt": "none,2"}, [None, 2]),
        ({"prompt": "cycle", "n": 4}, [0, 1, 2, 0]),
        ({"prompt": "2", "n": None, "seed": None, "size": "8x8", "user": "u", "quality": "auto", "style": None}, [2]),
    ],
)
def test_a_prompt_names_classes_in_turn(values: dict[str, Any], labels: list[int | None]) -> None:
    asked = ImageGeneration.from_json(body(**values)).asked_of(SPEC)
    assert (asked.cond, asked.seeds) == ({"label": labels}, list(range(len(labels))))


def test_a_model_without_labels_takes_none() -> None:
    assert ImageGeneration.from_json(body(n=2)).asked_of(tiny_spec(classes=())).cond == {}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a cat"}, "prompt"),
        ({"prompt": "1,,2"}, "prompt"),
        ({"prompt": "3"}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"prompt": ",".join("1" * 257)}, "prompt"),
        ({"prompt": "1,2", "n": 1}, "n"),
        ({"n": 0}, "n"),
        ({"n": "1"}, "n"),
        ({"size": "1024x1024"}, "size"),
        ({"size": "8 x 8"}, "size"),
        ({"response_format": "url"}, "response_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"output_format": "webp", "output_compression": 101}, "output_compression"),
        ({"partial_images": 1}, "partial_images"),
        ({"stream": True, "partial_images": 4}, "partial_images"),
        ({"stream": 1}, "stream"),
        ({"seed": -1}, "seed"),
        ({"quality": "high"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"moderation": "low"}, "moderation"),
        ({"style": "vivid"}, "style"),
        ({"frame_count": 2}, "frame_count"),
        ({"svg": {"model": "x"}}, "svg"),
        ({"complexity": "low"}, "complexity"),
        ({"strength": 0.5}, "strength"),
        ({"steps": 3}, "steps"),
        ({"unknown": None}, "unknown"),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_name(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        ImageGeneration.from_json(body(**values)).asked_of(SPEC)
    assert [fault["field"] for fault in error.value.faults] == [field]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"num_inference_steps": 51}, "num_inference_steps"),
        ({"sampler": "dimm"}, "sampler"),
        ({"guidance_scale": -1}, "guidance_scale"),
    ],
)
def test_the_sampler_s_refusals_have_the_names_of_the_client(
    sampler: Sampler, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        ImageGeneration.from_json(body(**values)).recipe_for(sampler)
    assert [fault["field"] for fault in error.value.faults] == [field]


def test_a_form_is_read_as_the_same_body() -> None:
    texts = {"prompt": "2", "n": "3", "seed": "7", "guidance_scale": "1.5", "stream": "true", "partial_images": "2"}
    values = {**{key: json.loads(text) for key, text in texts.items()}, "prompt": "2"}
    nothing = {"size": "null", "strength": "null"}
    assert ImageEdit.from_texts({**texts, **nothing}) == ImageEdit.from_json(json.dumps(values).encode())


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("n", ""),
        ("n", "01"),
        ("n", " 1"),
        ("n", "1.0"),
        ("n", "true"),
        ("n", "9" * 5000),
        ("stream", "yes"),
        ("stream", "1"),
        ("strength", "NaN"),
        ("strength", "1e999"),
        ("strength", "0"),
        ("resample", "0"),
        ("resample", "1e2"),
        ("input_fidelity", "high"),
        ("prompt", "null"),
        ("markup", "x"),
        ("colour", "null"),
    ],
)
def test_a_text_that_is_no_such_value_is_refused(key: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        ImageEdit.from_texts({"prompt": "none", key: text}).asked_of(SPEC)
    assert [fault["field"] for fault in error.value.faults] == [key]


@pytest.mark.parametrize("kind", sampler_kinds())
def test_unfinished_pictures_are_shown_after_evaluations_that_rise_and_are_not_the_last(
    sampler: Sampler, kind: str
) -> None:
    plan = sampler.recipe(kind, 12).plan
    for count in range(4):
        rows = partial_rows(plan, count)
        assert len(rows) == count
        assert rows == sorted(set(rows))
        assert all(plan.asks[row] for row in rows)
        assert not rows or rows[-1] < np.flatnonzero(plan.asks)[-1]


def test_a_short_plan_shows_fewer(sampler: Sampler) -> None:
    assert [partial_rows(sampler.recipe("ddim", steps).plan, 3) for steps in (1, 2, 4)] == [[], [0], [0, 1, 2]]


def test_an_edit_costs_what_is_checked_before_it_is_prepared(sampler: Sampler) -> None:
    recipe, picture = sampler.recipe("ddim", 10, 0.5), np.zeros(SPEC.shape, np.uint8)
    editor, keep = Editor(sampler, recipe, 2, {"label": [1, 2]}), np.eye(8, dtype=bool)
    filled = ImageEdit.from_fields({"prompt": "1,2", "resample": 3})
    assert filled.edit(editor, picture, keep)[0].recipe.cost(2) == filled.most_cost(recipe, masked=True)
    varied = ImageEdit.from_fields({"prompt": "1,2", "strength": 0.5})
    cost = varied.edit(editor, picture, None)[0].recipe.cost(2)
    assert 0 < cost < varied.most_cost(recipe, masked=False)


@pytest.mark.parametrize(("values", "masked"), [({"resample": 2}, False), ({"strength": 0.5}, True)])
def test_a_choice_of_the_other_edit_is_refused(sampler: Sampler, values: dict[str, Any], masked: bool) -> None:
    request = ImageEdit.from_fields({"prompt": "1", **values})
    editor = Editor(sampler, sampler.recipe("ddim", 4), 1, {"label": [1]})
    with pytest.raises(InvalidRequest) as error:
        request.edit(editor, np.zeros(SPEC.shape, np.uint8), np.eye(8, dtype=bool) if masked else None)
    assert [fault["field"] for fault in error.value.faults] == list(values)
