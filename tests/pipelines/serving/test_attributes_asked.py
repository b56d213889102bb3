"""Attributes as they are asked for: over HTTP, on the command line, in a prompt of OpenAI's form."""

from typing import Any

import pytest

from ddpm_core.errors import ParamsError
from ddpm_core.spec import labelled
from pipelines.kinds.pictures.serving.request import ImageRequest
from pipelines.serving.base.labels import attributes_typed, conditions_asked, prompted, said
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.openai.requests import ImageGeneration

SPEC = labelled((3, 8, 8), (-1.0, 1.0), 256, ("cat", "dog"), {"colour": ("red", "green", "blue"), "size": ("2", "10")})
PLAIN = labelled((3, 8, 8), (-1.0, 1.0), 256, ("cat", "dog"))
CLEAR = labelled((4, 8, 8), (-1.0, 1.0), 256, ())


def asked(**fields: Any) -> dict[str, list[int | None]]:
    return dict(ImageRequest.from_fields(fields).asked_of(SPEC).cond)


def test_an_attribute_is_one_class_for_all_or_one_for_each() -> None:
    assert asked(n=2, label="dog", attributes={"colour": "blue"}) == {"label": [1, 1], "colour": [2, 2]}
    assert asked(label=None, attributes={"colour": ["red", None, 1]}) == {"label": [None] * 3, "colour": [0, None, 1]}
    assert asked(n=2, label=0, attributes={"size": "10"}) == {"label": [0, 0], "size": [1, 1]}
    assert asked(n=1, label=0) == {"label": [0]}


def test_several_that_cycle_give_each_combination() -> None:
    told = asked(n=6, attributes={"colour": "cycle"})
    assert list(zip(told["label"], told["colour"], strict=True)) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attributes": {"shape": "round"}}, r"attributes\.shape: must be an attribute .* \(colour, size\)"),
        ({"attributes": {"colour": "rde"}}, r"attributes\.colour: must be .* did you mean 'red'"),
        ({"n": 3, "attributes": {"colour": ["red", "blue"]}}, r"attributes\.colour: must have one class for each of 3"),
        ({"attributes": {"colour": 1.5}}, r"attributes\.colour: Input should be a class"),
        ({"attributes": {"colour": []}}, r"attributes\.colour"),
        ({"attributes": "red"}, r"attributes: "),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        asked(**fields)


def test_a_model_without_attributes_is_told_none() -> None:
    with pytest.raises(ParamsError, match=r"attributes\.colour: must be an attribute that this model is told \(none\)"):
        ImageRequest.from_fields({"attributes": {"colour": "red"}}).asked_of(PLAIN)


def test_the_command_line_takes_an_attribute_as_a_name_and_classes() -> None:
    typed = attributes_typed(["colour=red,blue", "size = 10"])
    assert conditions_asked("cat", 3, SPEC, "--label", typed) == {
        "label": [0, 0, 0], "colour": [0, 2, 0], "size": [1, 1, 1]
    }  # fmt: skip
    for wrong in (["colour"], ["=red"], ["colour=red", "colour=blue"]):
        with pytest.raises(ParamsError, match="--attribute: must be NAME=CLASS, each name once"):
            attributes_typed(wrong)
    with pytest.raises(ParamsError, match="--attribute colour: must be `cycle`"):
        conditions_asked("cat", 1, SPEC, "--label", {"colour": "pink"}, "--attribute {}")


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("dog", {"label": [1]}),
        ("dog; colour=red", {"label": [1], "colour": [0]}),
        ("colour=blue;size=10", {"label": [None], "colour": [2], "size": [1]}),
        ("cat; colour=red, dog", {"label": [0, 1], "colour": [0, None]}),
        ("cycle; colour=cycle", {"label": [0], "colour": [0]}),
        ("none", {"label": [None]}),
    ],
)
def test_a_prompt_names_classes_and_attributes(prompt: str, told: dict[str, Any]) -> None:
    found = ImageGeneration.from_fields({"prompt": prompt}).asked_of(SPEC).cond
    assert found == told
    again = ", ".join(said(found, i, SPEC) for i in range(len(found["label"])))
    label, attributes = prompted(again, SPEC)
    assert conditions_asked(label, len(found["label"]), SPEC, "prompt", attributes) == told


@pytest.mark.parametrize("prompt", ["dog; colour=pink", "dog; cat", "dog; colour=red; colour=blue", "shape=round"])
def test_a_prompt_that_names_what_is_not_there_is_refused_as_the_prompt(prompt: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        ImageGeneration.from_fields({"prompt": prompt}).asked_of(SPEC)
    assert [fault["field"] for fault in error.value.faults] == ["prompt"]


def test_a_name_with_an_equals_sign_is_a_class_where_there_are_no_attributes() -> None:
    spec = labelled((3, 8, 8), (-1.0, 1.0), 256, ("a=b; c", "d"))
    assert ImageGeneration.from_fields({"prompt": "a=b; c"}).asked_of(spec).cond == {"label": [0]}


def test_what_lies_behind_pictures_is_the_model_s() -> None:
    for spec, own, other in ((CLEAR, "transparent", "opaque"), (PLAIN, "opaque", "transparent")):
        ImageGeneration.from_fields({"prompt": "none", "background": own}).asked_of(spec)
        with pytest.raises(InvalidRequest, match=f"background: must be {own}"):
            ImageGeneration.from_fields({"prompt": "none", "background": other}).asked_of(spec)
    with pytest.raises(InvalidRequest, match="output_format: must be png or webp"):
        ImageGeneration.from_fields({"prompt": "none", "output_format": "jpeg"}).asked_of(CLEAR)
