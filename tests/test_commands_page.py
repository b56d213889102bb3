"""docs/commands.md has every verb of `ddpm` with every option of its parser."""

import importlib.util
from types import ModuleType

from pipelines.cli import parser
from tests.support.imports import ROOT

PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("commands_page", ROOT / "infra" / "commands_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_says_what_the_parsers_say() -> None:
    assert generator().page().splitlines() == PAGE.splitlines(), "run `make docs`"


def test_every_verb_has_its_part_with_all_its_options() -> None:
    verbs = generator().subcommands(parser())
    assert len(verbs) > 30
    for name, (about, verb) in verbs.items():
        assert about, name
        part = PAGE.split(f"\n## ddpm {name}\n", 1)[1].split("\n## ", 1)[0]
        for action in verb._actions:
            for option in action.option_strings:
                shared = option in ("-h", "--help", "--project", "--quiet", "--debug")
                assert shared or f"`{option}" in part, f"ddpm {name} {option}"


def test_actions_of_a_verb_have_parts_of_their_own() -> None:
    assert "\n### ddpm keys add\n" in PAGE
    assert "\n### ddpm data accept\n" in PAGE
