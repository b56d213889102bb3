"""docs/configuration.md names every key that the code knows, with what the code allows and the comments say."""

import importlib.util
import re
from types import ModuleType

from pipelines.params import as_flat, load_params
from pipelines.projects.presets import presets
from tests.support.imports import ROOT

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_page", ROOT / "infra" / "config_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def allowed(text: str) -> dict[str, set[str]]:
    """What a page allows for each key; a key of several kinds has several texts."""
    found: dict[str, set[str]] = {}
    for key, rule in re.findall(r"^\| `([a-z_A-Z.0-9]+)` \| (.*?) \|", text, re.MULTILINE):
        found.setdefault(key, set()).add(rule)
    return found


def test_every_key_of_params_yaml_has_its_row() -> None:
    rows = allowed(PAGE)
    for path in presets().values():
        for key in as_flat(load_params(path)):
            assert key in rows, f"{key}: run `make docs`"


def test_page_says_what_the_code_allows_and_what_the_comments_say() -> None:
    assert generator().page().splitlines() == PAGE.splitlines(), "run `make docs`"


def test_comments_are_joined_and_nested_keys_are_dotted() -> None:
    text = "a:  # first\n  b: 1  # one\n       # and more\n  c:\n    d: 2  # deep\n# alone\ne: 3\n"
    assert generator().comments(text) == {"a": "first", "a.b": "one and more", "a.c.d": "deep"}
