"""`ddpm init --update`: keys of older versions are renamed or dropped, new ones added, and the user's values stay."""

from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import ParamsError
from pipelines import cli
from pipelines.params import load_params, read_yaml
from pipelines.projects.code import project_graph
from pipelines.projects.create import create, from_preset
from pipelines.projects.params_text import read_text, with_section, with_values, written
from pipelines.projects.presets import presets
from pipelines.projects.update import RENAMED, updated_graph, updated_params
from tests.support.imports import ROOT

DIGITS = (ROOT / "params.yaml").read_text()


def keys(value: Any, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The ways to all values; a `kind` chooses its mapping's keys, so it is none of them."""
    found = []
    for key, item in value.items():
        found += [(*way, key)] if key != "kind" else []
        found += keys(item, (*way, key)) if isinstance(item, dict) else []
    return found


def without(text: str, ways: list[tuple[str, ...]]) -> str:
    """The text without these keys, and without a mapping that has lost all of its own: nobody leaves an empty one."""
    whole = read_text(text)
    for *way, last in ways:
        places: list[Any] = [whole]
        for key in way:
            places.append(places[-1].get(key, {}))
        places[-1].pop(last, None)
        if len(places) > 1 and not places[-1]:
            places[-2].pop(way[-1], None)
    return written(whole)


@pytest.mark.parametrize("name", presets())
def test_a_current_params_file_is_left_as_it_is_to_the_byte(name: str) -> None:
    text = presets()[name].read_text()
    assert updated_params(text) == (text, [])


@pytest.mark.parametrize("start", range(5))
def test_what_was_taken_out_comes_back_with_value_comment_and_place(start: int) -> None:
    ways = keys(read_text(DIGITS))[start::5]
    text, unknown = updated_params(without(DIGITS, ways))
    assert unknown == []
    assert read_text(text) == read_text(DIGITS)
    assert list(read_text(text)) == list(read_text(DIGITS))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    lost = [line for line in DIGITS.splitlines() if line.strip() and " ".join(line.split()) not in lines]
    assert len([line for line in lost if "#" in line]) <= 0.05 * len(ways) + 1


def test_renamed_keys_keep_the_user_s_values_and_keys_that_are_gone_go() -> None:
    old = DIGITS.replace("  min_samples: 100", "  min_images: 55").replace(
        "  examples_per_shard: 1000", "  images_per_shard: 7  # mine"
    )
    old = old.replace("  lr: 2e-3 ", "  momentum: 3\n  lr: 5e-4 ")
    text, unknown = updated_params(old)
    value = read_text(text)
    assert (value["gate"]["min_samples"], value["shard"]["examples_per_shard"], value["train"]["lr"]) == (55, 7, 5e-4)
    assert "momentum" not in value["train"]
    assert "# mine" in text
    assert unknown == []


def test_every_new_name_of_a_renamed_key_is_in_a_preset() -> None:
    for old, new in RENAMED.items():
        section, key = new.split(".")
        assert old.split(".")[0] == section
        assert any(key in read_yaml(file)[section] for file in presets().values())


def test_keys_of_another_choice_come_from_the_preset_that_made_it() -> None:
    points = with_values(presets()["points"].read_text(), {"model.width": 96})
    text, _ = updated_params(without(points, [("model", "blocks"), ("evaluate", "directions"), ("runtime",)]))
    assert (read_text(text)["model"]["width"], read_text(text)["model"]["blocks"]) == (96, 3)
    assert read_text(text)["evaluate"]["directions"] == 64
    assert read_text(text)["runtime"]["device"] == "auto"


def test_stages_of_one_s_own_stay_in_the_graph() -> None:
    assert updated_graph(project_graph()) == project_graph()
    older = project_graph().replace(
        "  gate:\n    cmd: ${ddpm} gate", "  own:\n    cmd: echo\n  gate:\n    cmd: old gate"
    )
    merged = read_text(updated_graph(older))["stages"]
    assert merged["gate"]["cmd"] == "${ddpm} gate"
    assert list(merged)[-1] == "own"


def test_the_command_shows_the_changes_and_makes_them_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(tmp_path, from_preset("points", tmp_path))
    params = tmp_path / "params.yaml"
    params.write_text(without(params.read_text(), [("train", "grad_clip")]))
    with pytest.raises(ParamsError, match=r"train\.grad_clip: missing.*\n.*`ddpm init \. --update`"):
        load_params(params)
    before = params.read_bytes()
    assert cli.main(["init", str(tmp_path), "--update"]) == 0
    assert "+  grad_clip: " in capsys.readouterr().out
    assert params.read_bytes() == before
    assert cli.main(["init", str(tmp_path), "--update", "--write"]) == 0
    assert load_params(params).train.grad_clip == read_yaml(presets()["points"])["train"]["grad_clip"]
    capsys.readouterr()
    assert cli.main(["init", str(tmp_path), "--update"]) == 0
    assert "nothing to change" in capsys.readouterr().out


def test_a_wrong_value_alone_names_no_update(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(DIGITS.replace("  lr: 2e-3 ", "  lr: -1.0 "))
    with pytest.raises(ParamsError) as caught:
        load_params(tmp_path / "params.yaml")
    assert "--update" not in str(caught.value)


@pytest.mark.parametrize("words", [["--dry-run", "--preset", "points"], ["--write", "--preset", "points"]])
def test_options_that_do_not_go_together_are_refused(words: list[str], tmp_path: Path) -> None:
    assert cli.main(["init", str(tmp_path / "p"), *words]) == 2


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    assert cli.main(["init", str(tmp_path), "--update"]) == 2


def test_a_new_key_of_a_source_of_ones_own_comes_with_its_comment() -> None:
    source = (ROOT / "pipelines" / "kinds" / "series" / "profiling" / "series.yaml").read_text(encoding="utf-8")
    text = with_section(presets()["forecast"].read_text(encoding="utf-8"), "source", source)
    before = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("  decimal:"))
    after, unknown = updated_params(before)
    assert (after, unknown) == (text, [])
