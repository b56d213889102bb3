"""The help: names keep their capitals; an option that several commands have means the same in each."""

import argparse

import pytest

from pipelines.cli import parser

NAMES = ("HTTP", "Prefect", "API", "MLflow", "run A", "HTML", "ONNX", "Triton")


def verbs() -> dict[str, argparse.ArgumentParser]:
    (action,) = (each for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
    return dict(action.choices)


@pytest.mark.parametrize("option", ["--bundle", "--sampler", "--steps", "--guidance"])
def test_an_option_of_several_commands_has_one_text(option: str) -> None:
    found = {
        name: each.help
        for name in ("sample", "edit", "forecast", "impute", "bundle", "page", "variants", "tune-sampler")
        for each in verbs()[name]._actions
        if option in each.option_strings
    }
    assert len(found) >= 5
    assert len(set(found.values())) == 1, found


def test_the_description_of_a_verb_is_a_sentence_that_keeps_the_capitals_of_names() -> None:
    texts = [verb.description or "" for verb in verbs().values()]
    for text in texts:
        assert text[0].isupper(), text
        assert text.endswith("."), text
        assert not text.endswith(".."), text
        for name in NAMES:
            assert name in text or name.lower() not in text.lower().replace("onnxruntime", ""), text
    for name in NAMES:
        assert any(name in text for text in texts), name
