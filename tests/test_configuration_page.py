"""docs/configuration.md names every key that the code knows: what it allows, its value in the examples, its meaning."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from pipelines.params import as_flat, load_params, read_yaml
from pipelines.projects.presets import presets
from tests.support.imports import ROOT

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z_A-Z.0-9]+)` \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_page", ROOT / "infra" / "config_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(page: str, title: str) -> dict[str, tuple[str, str, str]]:
    """The rows below a title: by the last part of their key what is allowed, the default and the meaning."""
    text = page.split(f"**{title}**", 1)[1].split("\n\n")[1]
    return {key.rpartition(".")[2]: (allowed, default, meaning) for key, allowed, default, meaning in ROW.findall(text)}


def test_every_key_of_params_yaml_has_its_row() -> None:
    rows = {key for key, *_ in ROW.findall(PAGE)}
    for path in presets().values():
        for key in as_flat(load_params(path)):
            assert key in rows, f"{key}: run `make docs`"


def test_page_says_what_the_code_allows_and_what_the_comments_say() -> None:
    assert generator().page().splitlines() == PAGE.splitlines(), "run `make docs`"


def test_every_row_has_a_default_and_a_meaning() -> None:
    rows = re.findall(r"^\| `[a-z_A-Z.0-9]+` \|.*$", PAGE.split("\n## kind", 1)[1], re.MULTILINE)
    assert len(rows) > 500
    found = {match[1]: match for row in rows if (match := ROW.match(row))}
    assert len([row for row in rows if ROW.match(row)]) == len(rows)
    for key, (_, _, default, meaning) in ((key, match.groups()) for key, match in found.items()):
        assert default == "required" or default == "see its table" or default.startswith(("`", "see its table (")), key
        assert meaning.strip(), f"{key}: comment it in an example that has it, or write it into infra/meanings.yaml"


@pytest.mark.parametrize(
    ("title", "key", "default", "meaning"),
    [
        ("`diffusion.schedule` with `kind: cosine`", "beta_max", "`0.999`", "largest beta"),
        ("`diffusion.schedule` with `kind: vp_continuous`", "beta_max", "required", "beta at t = 1; usually 20"),
        ("`diffusion.weighting` with `kind: min_snr`", "gamma", "required", "usually 5"),
        ("`sample.sampler` with `kind: ddim`", "steps", "`1` (vae)", "steps from noise to a sample"),
        ("`sample.sampler` with `kind: ancestral`", "bound", "`none` (forecast)", "none, clip or dynamic"),
        ("`sample.sampler` with `kind: heun_churn`", "churn", "required", "usually 30.0"),
        ("`train.optimiser` with `kind: adam`", "betas", "required", "usually [0.9, 0.999]"),
        ("`model` with `kind: imported_unet`", "norm_groups", "required", "must divide each of `widths`"),
        ("`source` with `kind: image_folder`", "min_side", "`8` (ddpm init)", "quarantined"),
        ("`source.read_as` with `kind: image_folder`", "path", "required", "inside what the URL names"),
        ("`diffusion.guidance`", "weight", "required", "teacher's answers"),
    ],
)
def test_a_key_has_the_default_and_the_meaning_of_its_own_table(
    title: str, key: str, default: str, meaning: str
) -> None:
    _, its, told = table(PAGE, title)[key]
    assert its == default
    assert meaning in told


def test_every_value_of_an_example_has_a_comment() -> None:
    for name, path in presets().items():
        notes = generator().comments(path.read_text(encoding="utf-8"))
        for key in leaves(read_yaml(path)):
            assert notes.get(key), f"preset {name}: {key} has no comment"


def leaves(value: dict[str, Any], where: str = "") -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from leaves(item, f"{where}{key}.")
        else:
            yield f"{where}{key}"


def test_meanings_name_tables_and_keys_that_exist() -> None:
    of_page = {key.rpartition(".")[0] for key, *_ in ROW.findall(PAGE)}
    for place, told in generator().meanings().items():
        module, _, name = place.rpartition(".")
        if place in of_page:
            keys = {key.rpartition(".")[2] for key, *_ in ROW.findall(PAGE) if key.rpartition(".")[0] == place}
        else:
            keys = {field.name for field in fields(getattr(importlib.import_module(module), name))}
        assert set(told) <= {*keys, "page"}, place


def test_comments_are_joined_and_nested_keys_are_dotted() -> None:
    text = "a:  # first\n  b: 1  # one\n       # and more\n  c:\n    d: 2  # deep\n# alone\ne: 3\n"
    assert generator().comments(text) == {"a": "first", "a.b": "one and more", "a.c.d": "deep"}


def test_paths_of_pages_become_links() -> None:
    linked = generator().linked
    assert linked("as in docs/data.md#drift;") == "as in [data](data.md#drift);"
    assert linked("(docs/serving/operate.md)") == "([operate](serving/operate.md))"
