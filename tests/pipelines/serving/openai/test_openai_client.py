"""OpenAI's own Python client against a real server: pictures, edits, streams, and errors that it knows."""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from ddpm_core.errors import IntegrityError
from pipelines.kinds.pictures.rows.decode import decode_png, encode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor
from pipelines.serving.app import app_of, create_app
from pipelines.serving.hosted import Models, Version
from pipelines.serving.service import Service
from tests.support.served import LIMITS, listening
from tests.support.tiny_bundle import tiny_bundle, tiny_spec

PICTURE = np.random.default_rng(1).integers(0, 256, (1, 8, 8), dtype=np.uint8)
KEEP = np.arange(64).reshape(8, 8) % 3 > 0


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
        yield client


def pixels(b64: str | None) -> NDArray[np.uint8]:
    return decode_png(base64.b64decode(b64 or ""))


def mask() -> bytes:
    stream = io.BytesIO()
    alpha = np.where(KEEP, 255, 0).astype(np.uint8)
    Image.fromarray(np.stack([alpha * 0] * 3 + [alpha], axis=2)).save(stream, "PNG")
    return stream.getvalue()


def test_the_files_are_those_of_our_own_route(client: openai.OpenAI, address: str) -> None:
    choices = {"seed": 5, "num_inference_steps": 6, "guidance_scale": 0.5, "sampler": "heun"}
    found = client.images.generate(prompt="two", size="8x8", response_format="b64_json", extra_body=choices)
    own = {"label": "two", "seed": 5, "steps": 6, "guidance": 0.5, "sampler": "heun"}
    assert found.data is not None
    assert base64.b64decode(found.data[0].b64_json or "") == httpx.post(f"{address}/v1/images", json=own).content
    assert (found.size, found.output_format, found.background) == ("8x8", "png", "opaque")


def test_a_list_gives_one_of_each_in_turn(client: openai.OpenAI, sampler: Sampler) -> None:
    raw = client.images.with_raw_response.generate(prompt="two, none", n=3, user="me", extra_body={"seed": 7})
    data = raw.parse().data
    own = sampler.sample(sampler.recipe(), [7, 8, 9], {"label": [2, None, 2]})
    assert data is not None
    np.testing.assert_array_equal([pixels(item.b64_json) for item in data], own)
    assert [item.revised_prompt for item in data] == ["two", "none", "two"]
    assert [item.model_extra for item in data] == [{"seed": 7}, {"seed": 8}, {"seed": 9}]
    assert (raw.headers["x-seeds"], raw.headers["x-bundle"]) == ("7,8,9", sampler.bundle.digest)


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_other_formats(client: openai.OpenAI, format: Any) -> None:
    found = client.images.generate(prompt="1", output_format=format, output_compression=90)
    assert found.data is not None
    with Image.open(io.BytesIO(base64.b64decode(found.data[0].b64_json or ""))) as image:
        assert (image.format, image.size) == (format.upper(), (8, 8))


@pytest.mark.parametrize(("partial", "steps", "shown"), [(None, 6, 0), (0, 6, 0), (1, 6, 1), (3, 6, 3), (3, 2, 1)])
def test_a_stream_ends_with_the_pictures_that_a_request_gives(
    client: openai.OpenAI, partial: int | None, steps: int, shown: int
) -> None:
    choices = {"num_inference_steps": steps}
    events = list(client.images.generate(prompt="1,2", stream=True, partial_images=partial, extra_body=choices))
    partials, whole = events[:-2], events[-2:]
    assert [event.type for event in events] == [
        *["image_generation.partial_image"] * (2 * shown),
        *["image_generation.completed"] * 2,
    ]
    places = [(event.partial_image_index, event.image_index) for event in partials]  # type: ignore[union-attr]
    assert places == [(index, image) for index in range(shown) for image in range(2)]
    assert {(event.size, event.output_format, event.quality) for event in events} == {("8x8", "png", "auto")}
    alone = client.images.generate(prompt="1,2", extra_body=choices).data
    assert [event.b64_json for event in whole] == [item.b64_json for item in alone or []]
    assert all(event.usage.total_tokens == 0 for event in whole if event.type == "image_generation.completed")


def test_an_unfinished_picture_is_x0_hat_of_its_row(client: openai.OpenAI, sampler: Sampler) -> None:
    stream = client.images.generate(prompt="2", stream=True, partial_images=1, extra_body={"num_inference_steps": 4})
    rows = {}
    recipe = sampler.recipe(steps=4)
    sampler.sample(recipe, [0], {"label": [2]}, watch=lambda row, x, D: rows.update({row: D.copy()}))
    np.testing.assert_array_equal(pixels(next(iter(stream)).b64_json), sampler.bundle.spec.decode(rows[1])[0])


@pytest.mark.parametrize("times", [1, 3])
def test_a_mask_is_filled_and_the_rest_kept(client: openai.OpenAI, sampler: Sampler, times: int) -> None:
    choices = {"seed": 3, "sampler": "ddim", "num_inference_steps": 5, "resample": times}
    found = client.images.edit(
        image=encode_png(PICTURE), mask=mask(), prompt="one,two", response_format="b64_json", extra_body=choices
    )
    editor = Editor(sampler, sampler.recipe("ddim", 5), 2, {"label": [1, 2]})
    own = editor.inpaint(PICTURE, KEEP, [3, 4], times)
    got = np.stack([pixels(item.b64_json) for item in found.data or []])
    np.testing.assert_array_equal(got, own)
    assert (got[:, 0][:, KEEP] == PICTURE[0][KEEP]).all()
    assert not np.array_equal(got[0], got[1])


def test_without_a_mask_a_picture_is_varied(client: openai.OpenAI, sampler: Sampler) -> None:
    choices = {"strength": 0.5, "num_inference_steps": 8}
    file = ("picture.png", io.BytesIO(encode_png(PICTURE)), "image/png")
    found = client.images.edit(image=[file], prompt="none", n=2, extra_body=choices)
    editor = Editor(sampler, sampler.recipe(steps=8), 2, {"label": [None, None]})
    got = [pixels(item.b64_json) for item in found.data or []]
    np.testing.assert_array_equal(got, editor.vary(PICTURE, [0, 1], 0.5))


def test_an_edit_streams_pictures_that_hold_what_is_kept(client: openai.OpenAI) -> None:
    events = list(
        client.images.edit(
            image=encode_png(PICTURE),
            mask=mask(),
            prompt="1",
            stream=True,
            partial_images=2,
            extra_body={"num_inference_steps": 4, "sampler": "ddim", "resample": 2},
        )
    )
    assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    assert all((pixels(event.b64_json)[0][KEEP] == PICTURE[0][KEEP]).all() for event in events)


@pytest.mark.parametrize(
    ("choices", "param"),
    [
        ({"prompt": "a cat"}, "prompt"),
        ({"size": "1024x1024"}, "size"),
        ({"n": 300}, "n"),
        ({"response_format": "url"}, "response_format"),
        ({"quality": "hd"}, "quality"),
        ({"style": "vivid"}, "style"),
        ({"extra_body": {"num_inference_steps": 51}}, "num_inference_steps"),
        ({"extra_body": {"steps": 5}}, "steps"),
        ({"n": 200, "extra_body": {"num_inference_steps": 50}}, None),
    ],
)
def test_a_bad_request_names_its_parameter(client: openai.OpenAI, choices: dict[str, Any], param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.images.generate(**{"prompt": "none", **choices})
    assert (error.value.param, error.value.type) == (param, "invalid_request_error")
    unknown, costly = param == "steps", param is None
    assert error.value.code == ("unknown_parameter" if unknown else "too_costly" if costly else "invalid_value")


@pytest.mark.parametrize(
    ("choices", "param"),
    [
        ({"image": b"no picture"}, "image"),
        ({"image": encode_png(PICTURE.repeat(2, axis=2))}, "image"),
        ({"image": [encode_png(PICTURE)] * 2}, "image"),
        ({"mask": encode_png(PICTURE)}, "mask"),
        ({"markup": mask()}, "markup"),
        ({"input_fidelity": "high"}, "input_fidelity"),
        ({"extra_body": {"strength": 0}}, "strength"),
        ({"extra_body": {"resample": 2}}, "resample"),
        ({"mask": mask(), "extra_body": {"resample": 2, "sampler": "unipc_2"}}, "resample"),
        ({"mask": mask(), "extra_body": {"resample": 100, "num_inference_steps": 20}}, None),
    ],
)
def test_a_bad_edit_names_its_parameter(client: openai.OpenAI, choices: dict[str, Any], param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.images.edit(**{"image": encode_png(PICTURE), "prompt": "none", **choices})
    assert (error.value.param, error.value.type) == (param, "invalid_request_error")


def test_a_model_that_is_not_there_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.images.generate(prompt="1", model="gpt-image-2")
    assert (error.value.code, error.value.param) == ("model_not_found", "model")


def test_a_stream_that_cannot_be_had_is_refused_with_its_status(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.images.generate(prompt="1", stream=True, n=200, extra_body={"num_inference_steps": 50})
    assert error.value.code == "too_costly"


@pytest.mark.parametrize("partial", [0, 1])
def test_a_stream_that_fails_on_its_way_says_so(tmp_path: Path, partial: int) -> None:
    """Before the first picture by its status, after it by an event."""
    sampler = Sampler(tiny_bundle(tmp_path / "b"), "cpu")

    def fails(*args: Any, watch: Any, **options: Any) -> Any:
        if watch is not None:
            for row in range(4):
                watch(row, np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 8, 8)))
        raise IntegrityError("the model gave a non-finite value")

    sampler.sample = fails  # type: ignore[method-assign]
    shown = []
    with listening(create_app(sampler, LIMITS)) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
        with pytest.raises(openai.APIError) as error:
            shown.extend(client.images.generate(prompt="1", stream=True, partial_images=partial))
    assert error.value.code == "cannot_sample"
    assert isinstance(error.value, openai.InternalServerError) == (partial == 0)


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"--x--", "multipart/form-data", 400, "invalid_value"),
        (b"--x--", "multipart/form-data; boundary=x", 400, "invalid_value"),
        (b"x" * 6000, "multipart/form-data; boundary=x", 413, "body_too_large"),
        (b"", "application/json", 415, "unsupported_media_type"),
    ],
)
def test_a_hostile_form_is_refused(address: str, content: bytes, content_type: str, status: int, code: str) -> None:
    answer = httpx.post(f"{address}/v1/images/edits", content=content, headers={"Content-Type": content_type})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], set(error)) == (status, code, {"message", "type", "param", "code"})


def test_of_several_models_the_one_named_answers_if_it_is_of_pictures(sampler: Sampler, tmp_path: Path) -> None:
    def version(name: str, spec: Any) -> Version:
        service = Service(Sampler(tiny_bundle(tmp_path / name, spec=spec), "cpu"), LIMITS)
        return Version(service, lambda: service)

    models = Models(waiting=2, at_once=1)
    models.add("points", version("points", replace(tiny_spec(2), levels=None, range=None, kind="points")))
    models.add("small", version("small", tiny_spec(1, 4)))
    models.add("large", version("large", tiny_spec(3, 8)))
    with listening(app_of(models)) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
        assert [model.id for model in client.models.list()] == ["points", "small", "large"]
        assert client.models.retrieve("large").object == "model"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("other")
        for name, size in ((None, "4x4"), ("small", "4x4"), ("large", "8x8")):
            assert client.images.generate(prompt="1", model=name).size == size
        picture = encode_png(PICTURE.repeat(3, axis=0))
        assert client.images.edit(image=picture, prompt="1", model="large").size == "8x8"
        with pytest.raises(openai.BadRequestError) as error:
            client.images.generate(prompt="1", model="points")
        assert error.value.param == "model"


def test_a_service_without_pictures_has_no_such_routes(tmp_path: Path) -> None:
    spec = replace(tiny_spec(2), levels=None, range=None, kind="points")
    app = create_app(Sampler(tiny_bundle(tmp_path / "b", spec=spec), "cpu"), LIMITS)
    with TestClient(app) as client:
        assert client.post("/v1/images/generations", json={"prompt": "1"}).status_code == 404


def test_openapi_describes_both_routes(address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    for name, media in (("generations", "application/json"), ("edits", "multipart/form-data")):
        operation = paths[f"/v1/images/{name}"]["post"]
        schema = operation["requestBody"]["content"][media]["schema"]
        assert {"prompt", "seed", "num_inference_steps", "guidance_scale", "sampler"} <= set(schema["properties"])
        assert ("image" in schema["required"]) == (name == "edits")
        assert {"200", "400", "404", "413", "415", "429", "500", "503", "504"} <= set(operation["responses"])
