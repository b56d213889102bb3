"""From data to a plan: what they are, the params.yaml that fits, and what a run costs."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, ParamsError
from pipelines.params import load_params
from pipelines.profiling import choose_pictures, choose_points, choose_series, choose_set, pictures, tables
from pipelines.profiling.choice import Chosen
from pipelines.profiling.picture_sources import ENDINGS
from pipelines.profiling.place import inner_folder
from pipelines.projects.own_presets import own_preset
from pipelines.projects.params_text import with_section, with_values
from pipelines.projects.presets import preset

if TYPE_CHECKING:
    from ddpm_core.spec import DataSpec
    from pipelines.kinds.pictures.sources.torchvision_set import Torchvision
    from pipelines.params import Params
    from pipelines.profiling.cost import Cost
    from pipelines.shards.archive import Arrays

    Examples = tuple[DataSpec, Arrays, tuple[int, int]]  # prepared; how many to learn from and to judge

_OUTPUTS = ("data/prepared", "data/quarantine", "data/shards", "out")
_EXAMPLES = 256


@dataclass(frozen=True)
class Plan:
    """`params` is the text of params.yaml; `cost` measures for some seconds and says what a run costs."""

    about: str
    params: str
    text: str
    cost: Callable[[], str]


def plan_of(data: Path, folder: Path, wanted: str | None = None) -> Plan:
    """Look at the data; DataError where they are none that we know. `wanted` names a preset for one's own pictures."""
    _check_place(data, folder)
    return _planned(data, folder, wanted)


def params_of(data: Path) -> "Params":
    """The parameters that fit the data, for who wants to read them and make no project."""
    return _checked(_planned(data, data.resolve(), None).params)


def _planned(data: Path, folder: Path, wanted: str | None) -> Plan:
    preset = None if wanted is None else own_preset(wanted)
    if preset is not None and preset.set is not None:
        of_set, source = choose_set.choose(preset, data.resolve(), path_from(folder, data))
        return _plan(of_set, lambda params: _of_set(source, of_set))
    seen = pictures.profile_if_pictures(data)
    if seen is not None:
        chosen = choose_pictures.choose(seen, path_from(folder, seen.place), _device(), preset)
        return _plan(chosen, lambda params: _of_pictures(params, seen, chosen))
    if preset is not None:
        raise DataError(f"--data: {data} must hold pictures for the preset {preset.name}, but there are none")
    if not tables.is_of_tables(data):
        raise DataError(
            f"--data: {data} must hold pictures ({', '.join(ENDINGS)}) or tables (.csv, .parquet), but there "
            "is neither; data sets by name are in docs/data.md, examples with --preset"
        )
    place = inner_folder(data)
    table = tables.profile(place)
    path = path_from(folder, place)
    chosen = choose_points.choose(table, path) if table.time is None else choose_series.choose(table, path)
    return _plan(chosen, lambda params: _of_table(params, place))


def _plan(chosen: Chosen, examples: "Callable[[Params], Examples]") -> Plan:
    text = with_header(chosen)
    params = _checked(text)
    return Plan(chosen.about, text, chosen.text(), lambda: _cost(params, chosen, examples))


def with_header(chosen: Chosen) -> str:
    """The preset's params.yaml with another section source and the chosen values."""
    text = preset(chosen.template).read_text(encoding="utf-8")
    text = with_section(text, "source", chosen.source)
    head = (
        "# Every value of this project. A section is read by the stages that dvc.yaml lists for it, and by no other.\n"
    )
    first = text.index("\nkind:")
    return head + with_values(text[first:], {choice.key: choice.value for choice in chosen.choices})


def _checked(text: str) -> "Params":
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "params.yaml"
        place.write_text(text, encoding="utf-8")
        return load_params(place)


def cost_of_project(folder: Path) -> "Cost":
    """What a run of a project costs whose data are small, as those of the presets are."""
    from pipelines.profiling.cost import cost_of

    params = load_params(folder / "params.yaml")
    began = time.perf_counter()
    spec, arrays, counts = _prepared(params, folder)
    return cost_of(params, spec, arrays, counts, time.perf_counter() - began)


def _check_place(data: Path, folder: Path) -> None:
    if not data.exists():
        raise ParamsError(f"--data: {data} must be a folder or a file, but there is nothing")
    real, root = data.resolve(), folder.resolve()
    if root.is_relative_to(real):
        raise ParamsError(
            f"--data: {data} must not contain the project's folder, got {folder}: outputs would become data; give "
            "another folder"
        )
    for out in _OUTPUTS:
        if real.is_relative_to(root / out):
            raise ParamsError(f"--data: must lie outside of the project's outputs, got {data} in {out}")


def path_from(folder: Path, data: Path) -> str:
    """Relative where the data lie in the project or beside it, so that both can be moved together; else absolute."""
    root, real = folder.resolve(), data.resolve()
    return os.path.relpath(real, root) if real.is_relative_to(root.parent) else str(real)


def _device() -> str:
    from ddpm_core.device import pick_device

    return pick_device("auto").type


def _cost(params: "Params", chosen: Chosen, examples: "Callable[[Params], Examples]") -> str:
    from pipelines.profiling.cost import cost_of

    return cost_of(params, *examples(params), chosen.prepare_seconds).text()


def _of_pictures(params: "Params", seen: "pictures.PictureProfile", chosen: Chosen) -> "Examples":
    """Pictures made equal by the rules that were chosen, with labels in turn."""
    from ddpm_core.pseudo_classes import with_pseudo_classes
    from pipelines.kinds.pictures.rows.decode import decode

    rules = params.source.rules()
    key = getattr(params.source, seen.given.label_key)
    spec = rules.spec(() if key == seen.given.without_labels else tuple(seen.classes))
    x = np.stack([decode(pictures.read(found), rules) for found in seen.contents[:_EXAMPLES]])
    if rules.clusters is not None:
        spec = with_pseudo_classes(spec, [1] * rules.clusters)
    return spec, _in_turn(x, spec), (chosen.train_count, chosen.test_count)


def _of_set(source: "Torchvision", chosen: Chosen) -> "Examples":
    """The first pictures of a data set, with labels in turn."""
    from pipelines.kinds.pictures.rows.decode import fit_pixels
    from pipelines.kinds.pictures.rows.rules import Pixels

    listing, rules = source.listing(Path()), source.rules()
    contents = [found.content for found in listing.found[:_EXAMPLES]]
    levels = [np.frombuffer(each.data, np.uint8).reshape(each.shape) for each in contents if isinstance(each, Pixels)]
    spec = rules.spec(listing.classes)
    x = np.stack([fit_pixels(each, rules) for each in levels])
    return spec, _in_turn(x, spec), (chosen.train_count, chosen.test_count)


def _in_turn(x: NDArray[np.uint8], spec: "DataSpec") -> "Arrays":
    labels = np.arange(len(x), dtype=np.int64) % max(1, len(spec.classes))
    return {"x": x, **dict.fromkeys(spec.conditions, labels)}


def _of_table(params: "Params", data: Path) -> "Examples":
    source = replace(params.source, path=str(data.resolve()))
    return _prepared(replace(params, source=source), Path())


def _prepared(params: "Params", root: Path) -> "Examples":
    """Small data are prepared as stage prepare does it, in a folder that is removed."""
    from pipelines.kinds import kind_of
    from pipelines.shards.archive import joined

    kind = kind_of(params.kind)
    with tempfile.TemporaryDirectory() as scratch:
        manifest = kind.prepare(params.source, params.split, Path(scratch), root, 1).manifest
        train, test = manifest.of_split("train"), manifest.of_split("test")
        if not train:
            raise DataError("the data must hold an example to learn from, but none is left; the reasons are above")
        examples = list(kind.examples(Path(scratch), train[:_EXAMPLES], manifest.spec))
        arrays = joined(
            [{name: array[None] for name, array in each.arrays.items()} for each in examples], manifest.spec
        )
    return manifest.spec, arrays, (len(train), len(test))
