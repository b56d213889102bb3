"""OpenAI's own Node client against a real server. Skipped where node or its package `openai` is missing:

npm install --prefix /tmp/node openai
NODE_PATH=/tmp/node/node_modules python -m pytest tests/pipelines/serving/openai/test_openai_node.py
"""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.kinds.pictures.rows.decode import decode_png, encode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor
from tests.pipelines.serving.openai.test_openai_client import KEEP, PICTURE, mask


def _node(*arguments: str) -> str | None:
    try:
        return subprocess.run(["node", *arguments], check=True, capture_output=True, text=True, timeout=120).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        if arguments[0] == "-e":
            return None
        raise AssertionError(getattr(error, "stderr", error)) from error


@pytest.fixture(scope="module")
def found(address: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if _node("-e", "require('openai')") is None:
        pytest.skip("node and its package openai are not installed; the head of this file says how to run it")
    folder = tmp_path_factory.mktemp("node")
    (folder / "picture.png").write_bytes(encode_png(PICTURE))
    (folder / "mask.png").write_bytes(mask())
    script = Path(__file__).with_name("openai_client.js")
    return json.loads(_node(str(script), address, *map(str, (folder / "picture.png", folder / "mask.png"))) or "")


def pixels(items: list[dict[str, str]]) -> list[Any]:
    return [decode_png(base64.b64decode(item["b64_json"])) for item in items]


def test_node_gets_the_sampler_s_own_pictures(found: Any, sampler: Sampler) -> None:
    own = sampler.sample(sampler.recipe(steps=6), [7, 8, 9], {"label": [2, None, 2]})
    np.testing.assert_array_equal(pixels(found["generated"]), own)
    assert [(item["seed"], item["revised_prompt"]) for item in found["generated"]] == [
        (7, "two"),
        (8, "none"),
        (9, "two"),
    ]


def test_node_reads_streams(found: Any, sampler: Sampler) -> None:
    types = [event["type"].removeprefix("image_generation.") for event in found["streamed"]]
    assert types == ["partial_image"] * 4 + ["completed"] * 2
    own = sampler.sample(sampler.recipe(steps=6), [0, 1], {"label": [2, None]})
    np.testing.assert_array_equal(pixels(found["streamed"][-2:]), own)
    assert [event["type"] for event in found["edited"]] == ["image_edit.partial_image", "image_edit.completed"]


def test_node_edits(found: Any, sampler: Sampler) -> None:
    editor = Editor(sampler, sampler.recipe("ddim", 4), 2, {"label": [1, 1]})
    np.testing.assert_array_equal(pixels(found["filled"]), editor.inpaint(PICTURE, KEEP, [0, 1], 2))
    editor = Editor(sampler, sampler.recipe(steps=4), 1, {"label": [1]})
    np.testing.assert_array_equal(pixels(found["varied"]), editor.vary(PICTURE, [0], 0.5))


def test_node_lists_the_models(found: Any) -> None:
    assert found["models"] == ["default"]


def test_node_knows_the_errors(found: Any) -> None:
    refused = {"name": "BadRequestError", "status": 400, "type": "invalid_request_error"}
    assert found["style"] == {**refused, "param": "style", "code": "invalid_value"}
    assert found["colour"] == {**refused, "param": "colour", "code": "unknown_parameter"}
    assert (found["model"]["name"], found["model"]["code"]) == ("NotFoundError", "model_not_found")
