"""DVC puts an earlier run's outputs back if their key in its run cache is equal: so each parameter must change it."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from dvc.stage.cache import _get_cache_hash

from ddpm_core.errors import ParamsError
from pipelines.kinds import KINDS
from pipelines.params import UNSEEN_BY_DVC, load_params, read_yaml, section_types
from pipelines.parsing import hints_of
from pipelines.projects.presets import presets
from tests.support.imports import ROOT
from tests.support.project import write_yaml

FILES = {**presets(), **{file.stem: file for file in (ROOT / "pipelines" / "kinds").glob("*/profiling/*.yaml")}}


def _key(params: Any) -> str:
    return str(_get_cache_hash({"cmd": "ddpm prepare", "params": {"params.yaml": params}}, key=True))


def _each_changed(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The value with one of its leaves another, for each leaf."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield way, "another"
        return
    for name, each in inner:
        for changed, other in _each_changed(each, (*way, name)):
            whole = dict(value) if isinstance(value, dict) else list(value)
            whole[name] = other
            yield changed, whole


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_changes_the_key(name: str) -> None:
    params = read_yaml(FILES[name])
    key = _key(params)
    assert [way for way, other in _each_changed(params) if _key(other) == key] == []


def _names(kind: Any) -> Iterator[str]:
    """Every key that a type of params.yaml has, at any depth."""
    if is_dataclass(get_origin(kind) or kind):
        for name, inner in hints_of(kind).items():
            yield name
            yield from _names(inner)
    for inner in get_args(kind):
        yield from _names(inner)


@pytest.mark.parametrize("kind", KINDS)
def test_no_section_has_a_key_that_dvc_leaves_out(kind: str) -> None:
    names = {name for section in section_types(kind).values() for name in _names(section)}
    assert names >= {"attention_levels", "steps", "T"}
    assert not names & set(UNSEEN_BY_DVC)


@pytest.mark.parametrize("name", UNSEEN_BY_DVC)
@pytest.mark.parametrize("key", ["attributes", "classes.merge"])
def test_a_name_of_ones_own_that_dvc_leaves_out_is_refused(key: str, name: str, tmp_path: Path) -> None:
    table = {**read_yaml(FILES["picture_table"])["source"], "label_column": "label"}
    if key == "attributes":
        source = {**table, key: {name: "column"}}
    else:
        classes = {"keep": None, "merge": {name: ["a"]}}
        source = {
            "kind": "several",
            "path": "raw",
            "unlabelled": "refuse",
            "classes": classes,
            "sources": [table, table],
        }
    write_yaml(tmp_path / "params.yaml", {**read_yaml(ROOT / "params.yaml"), "source": source})
    with pytest.raises(ParamsError, match=rf"source\.{key}\.{name}: must have another name than {name}"):
        load_params(tmp_path / "params.yaml")
