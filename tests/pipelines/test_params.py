"""params.yaml to dataclasses: all faults at once, each with its key, what must hold and what came."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_core.checks import Checks, Config, at_least_1, positive
from ddpm_core.errors import ParamsError
from pipelines.kinds import kind_of
from pipelines.params import (
    RuntimeConfig,
    as_flat,
    load_params,
    read_yaml,
    section_types,
    stage_sections,
)
from pipelines.parsing import parse
from tests.support.imports import ROOT
from tests.support.project import merged, write_yaml


@dataclass(frozen=True)
class Circle(Config):
    kind: Literal["circle"]
    radius: float
    __checks__: ClassVar[Checks] = {"radius": positive}


@dataclass(frozen=True)
class Box(Config):
    kind: Literal["box"]
    sides: tuple[int, int]


@dataclass(frozen=True)
class Drawing(Config):
    shape: Circle | Box
    copies: int
    note: str | None
    mode: Literal["fast", "fine"]
    layers: tuple[Circle, ...]
    __checks__: ClassVar[Checks] = {"copies": at_least_1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode == "fine" and self.copies > 9:
            raise ParamsError("Drawing: fine drawings must have at most 9 copies, got " + str(self.copies))


def good() -> dict[str, Any]:
    return {
        "shape": {"kind": "box", "sides": [3, 4]},
        "copies": 2,
        "note": None,
        "mode": "fast",
        "layers": [{"kind": "circle", "radius": 2}],
    }


def changed(**changes: Any) -> dict[str, Any]:
    return {**good(), **changes}


def faults_of(value: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        parse(Drawing, value, "drawing")
    return str(caught.value)


def test_good_mapping_becomes_the_dataclass() -> None:
    drawing = parse(Drawing, good(), "drawing")
    assert drawing == Drawing(Box("box", (3, 4)), 2, None, "fast", (Circle("circle", 2.0),))
    assert isinstance(drawing.layers[0].radius, float)


def test_all_faults_are_told_at_once_with_dotted_keys() -> None:
    value = {
        "shape": {"kind": "circle", "radius": -1.0},
        "copys": 2,
        "note": 5,
        "mode": "fats",
        "layers": [{"kind": "circle", "radius": "big"}],
    }
    text = faults_of(value)
    assert text.startswith("drawing: 6 values are not allowed; nothing was started")
    assert "shape.radius: must be above 0, got -1.0" in text
    assert "copys: unknown key; did you mean 'copies'?" in text
    assert "copies: missing; it must be a whole number" in text
    assert "note: must be text or null, got 5 (int)" in text
    assert "mode: must be one of fast, fine, got 'fats' (str); did you mean 'fast'?" in text
    assert "layers[0].radius: must be a number, got 'big' (str)" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": {"kind": "circel", "radius": 1.0}}, "shape.kind: must be one of circle, box, got 'circel'"),
        ({"shape": {"kind": "circel", "radius": 1.0}}, "did you mean 'circle'?"),
        ({"shape": {"radius": 1.0}}, "shape.kind: missing; it must be one of circle, box"),
        ({"shape": "box"}, "shape: must be a mapping with a `kind` (circle, box), got 'box' (str)"),
        ({"shape": {"kind": "box", "sides": [1]}}, "shape.sides: must be a list of 2 values"),
        ({"shape": {"kind": "box", "radius": 1.0}}, "shape.radius: unknown key; known here: kind, sides"),
        ({"shape": {"kind": ["box"]}}, "shape.kind: must be one of circle, box, got ['box'] (list)"),
        ({"copies": True}, "copies: must be a whole number, got True (bool)"),
        ({"copies": 2.5}, "copies: must be a whole number, got 2.5 (float)"),
        ({"copies": "2"}, "copies: must be a whole number, got '2' (str)"),
        ({"copies": 0}, "copies: must be at least 1, got 0"),
        ({"layers": {"kind": "circle"}}, "layers: must be a list, got"),
        ({"layers": [{"kind": "circle", "radius": float("inf")}]}, "layers[0].radius: must be a number, got inf"),
        ({"layers": [{"kind": "circle", "radius": float("nan")}]}, "layers[0].radius: must be a number, got nan"),
        ({"mode": "fine", "copies": 12}, "fine drawings must have at most 9 copies, got 12"),
    ],
)
def test_fault_says_key_rule_and_what_came(changes: dict[str, Any], message: str) -> None:
    assert message in faults_of(changed(**changes))


def test_section_that_is_no_mapping_is_told() -> None:
    assert "must be a mapping with shape, copies, note, mode, layers, got None (NoneType)" in faults_of(None)


def test_long_values_are_shortened_in_messages() -> None:
    assert len(faults_of(changed(copies="x" * 10_000))) < 300


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_no_value_makes_the_parser_itself_fail(value: Any) -> None:
    for key in good():
        with suppress(ParamsError):
            parse(Drawing, {**good(), key: value}, "drawing")


def test_default_params_load_and_flatten_to_scalars() -> None:
    flat = as_flat(load_params(ROOT / "params.yaml"))
    assert flat["runtime.device"] == "auto"
    assert isinstance(flat["train.lr"], float)  # `6e-4` is a number in YAML 1.2
    assert isinstance(json.loads(str(flat["model.multipliers"])), list)
    assert all(isinstance(value, str | int | float | bool) for value in flat.values())


def test_several_faults_in_the_real_file_are_told_together(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^  lr: \S+", "  lr: -1.0", text).replace("  kind: cosine  ", "  kind: cosinus  ", 1)
    text = text.replace("runtime:", "runtme:") + "  wokers: 0\n"
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_params(tmp_path / "params.yaml")
    message = str(caught.value)
    assert "train.lr: must be " in message
    assert "got -1.0" in message
    assert "runtme: unknown key; did you mean 'runtime'?" in message
    keys = "device, threads, processes, sampling_processes, workers, runner, deterministic, tracking"
    assert f"runtime: missing; it must be a mapping with {keys}" in message
    assert "diffusion.schedule.kind: must be one of" in message


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, False),
        ({"sample": {"guidance": {"weight": 0.0}}}, True),
        ({"train": {"conditioning": "none"}}, True),
        ({"train": {"init_from": {"path": "weights.safetensors", "sha256": "0" * 64}}}, True),
    ],
)
def test_guidance_takes_a_training_that_saw_pictures_without_labels(
    changes: dict[str, Any], allowed: bool, tmp_path: Path
) -> None:
    params = merged(merged(read_yaml(ROOT / "params.yaml"), {"train": {"label_dropout": 0.0}}), changes)
    write_yaml(tmp_path / "params.yaml", params)
    if allowed:
        load_params(tmp_path / "params.yaml")
    else:
        with pytest.raises(ParamsError, match=r"train\.label_dropout: must be above 0 .* got 0 with a weight of 0\.6"):
            load_params(tmp_path / "params.yaml")


VAE = {
    "kind": "vae",
    "latent": 8,
    "channels": 8,
    "multipliers": [1],
    "blocks": 1,
    "norm_groups": 2,
    "dropout": 0.0,
    "scale": "each",
}
ELBO, ONE_STEP = {"kind": "elbo", "likelihood": "logistic"}, {"sampler": {"steps": 1}, "guidance": {"weight": 0.0}}


@pytest.mark.parametrize(
    ("sections", "sample", "message"),
    [
        ({"model": VAE, "diffusion": ELBO}, ONE_STEP, None),
        ({"model": VAE}, {}, r"diffusion\.kind: .* must have a network that is no autoencoder, got model\.kind vae"),
        (
            {"diffusion": ELBO},
            ONE_STEP,
            r"diffusion\.kind: elbo must have a network that is an autoencoder, got model\.kind unet",
        ),
        ({"model": VAE, "diffusion": ELBO}, {}, r"sample\.sampler\.steps: must be from 1 to the 1 levels .* got 10"),
        ({"model": VAE, "diffusion": ELBO}, {}, r"sample\.guidance\.weight: must be 0 for elbo, .* got 0\.6"),
        ({}, {"sampler": {"steps": 1001}}, r"sample\.sampler\.steps: must be from 1 to the 1000 levels .* got 1001"),
    ],
)
def test_objective_network_and_sampler_fit_one_another(
    sections: dict[str, Any], sample: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    params = {**merged(read_yaml(ROOT / "params.yaml"), {"sample": sample}), **sections}
    write_yaml(tmp_path / "params.yaml", params)
    if message is None:
        load_params(tmp_path / "params.yaml")
    else:
        with pytest.raises(ParamsError, match=message):
            load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(("choice", "refused"), [("auto", False), ("never", False), ("always", True)])
def test_a_network_that_torch_compiles_in_no_part_is_never_compiled(choice: str, refused: bool, tmp_path: Path) -> None:
    sections = {"model": VAE, "diffusion": ELBO}
    params = {**merged(read_yaml(ROOT / "params.yaml"), {"sample": ONE_STEP, "train": {"compile": choice}}), **sections}
    write_yaml(tmp_path / "params.yaml", params)
    if refused:
        with pytest.raises(ParamsError, match=r"train\.compile: must be auto or never for model\.kind vae, got always"):
            load_params(tmp_path / "params.yaml")
    else:
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "must be YAML that can be read"),
        ("a: 1\na: 2\n", "must be YAML that can be read"),
        ("- a\n", "must be a mapping of sections, got list"),
        ("", "must be a mapping of sections, got NoneType"),
    ],
)
def test_unreadable_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=message):
        read_yaml(path)


def test_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="file not found; run from the project's folder"):
        read_yaml(tmp_path / "params.yaml")


def test_stage_sees_its_sections_and_runtime_alone() -> None:
    view = load_params(ROOT / "params.yaml").restrict(["split"])
    assert view.split.seed == 0
    assert view.runtime.device == "auto"
    assert set(view.sections()) == {"split", "runtime"}
    assert all(key.startswith(("split.", "runtime.")) for key in as_flat(view))
    with pytest.raises(AttributeError, match=r"section 'gate' of params\.yaml is not among those this stage may see"):
        _ = view.gate


def test_sections_of_a_stage_come_from_the_graph() -> None:
    assert stage_sections(ROOT)["train"] == ("model", "diffusion", "train")


def test_no_config_dataclass_has_a_default_that_dvc_cannot_see() -> None:
    from dataclasses import MISSING, fields, is_dataclass
    from typing import get_args, get_type_hints

    def classes(kind: Any) -> set[type]:
        inner = set().union(*(classes(arg) for arg in get_args(kind))) if get_args(kind) else set()
        if is_dataclass(kind):
            hints: Mapping[str, Any] = get_type_hints(kind)
            inner = {kind}.union(*(classes(hints[field.name]) for field in fields(kind)))  # type: ignore[arg-type]
        return inner

    for section in section_types("pictures").values():
        for kind in classes(section):
            for field in fields(kind):  # type: ignore[arg-type]
                assert field.default is MISSING, f"{kind.__name__}.{field.name}"
                assert field.default_factory is MISSING, f"{kind.__name__}.{field.name}"


def test_runtime_ranges_hold_in_code_too() -> None:
    with pytest.raises(ParamsError, match=r"RuntimeConfig: threads: must be .*at least 1, got 0"):
        RuntimeConfig(
            device="cpu",
            threads=0,
            processes=1,
            sampling_processes=1,
            workers=0,
            runner="local",
            deterministic=True,
            tracking=True,
        )


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"source": {"resolution": 23}}, "model: height and width must be multiples of 4 .* got 23 x 23"),
        ({"source": {"resolution": 30}, "model": {"multipliers": [1, 2, 2]}}, "model: .* multiples of 8"),
    ],
)
def test_a_network_that_cannot_take_the_size_is_told_before_anything_starts(
    changes: dict[str, Any], key: str, tmp_path: Path
) -> None:
    write_yaml(tmp_path / "params.yaml", merged(read_yaml(ROOT / "params.yaml"), changes))
    with pytest.raises(ParamsError, match=key):
        load_params(tmp_path / "params.yaml")


def test_labels_that_nothing_judges_or_guides_by_are_told(tmp_path: Path) -> None:
    whole = read_yaml(ROOT / "params.yaml")
    folder = read_yaml(ROOT / "pipelines" / "kinds" / "pictures" / "profiling" / "image_folder.yaml")["source"]
    unused = {"gate": {"max_accuracy_loss": None}, "sample": {"guidance": {"weight": 0.0}}}

    def told(labels: str, changes: Mapping[str, Any]) -> list[str]:
        write_yaml(tmp_path / "params.yaml", {**merged(whole, changes), "source": {**folder, "labels": labels}})
        params = load_params(tmp_path / "params.yaml")
        return [line.split()[0] for line in kind_of("pictures").cautions(params)]

    assert told("folders", {}) == told("none", unused) == []
    assert told("folders", unused) == ["gate.max_accuracy_loss", "sample.guidance.weight"]
