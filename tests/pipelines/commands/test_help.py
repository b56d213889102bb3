"""The help: an option that several commands have means the same in each."""

import argparse

import pytest

from pipelines.cli import parser


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
