"""From data to a plan: what they are, the params.yaml that fits, and what a run costs."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import DataError, ParamsError
from pipelines.kinds import KINDS, kind_of
from pipelines.kinds.choice import EXAMPLES, Chosen, ProfileRequest
from pipelines.kinds.place import inner_folder
from pipelines.params import load_params
from pipelines.projects.own_presets import own_preset
from pipelines.projects.params_text import with_section, with_values
from pipelines.projects.presets import preset

if TYPE_CHECKING:
    from ddpm_core.spec import DataSpec
    from pipelines.params import Params
    from pipelines.profiling.cost import Cost
    from pipelines.shards.archive import Arrays

    Examples = tuple[DataSpec, Arrays, tuple[int, int]]  # prepared; how many to learn from and to judge

_OUTPUTS = ("data/prepared", "data/quarantine", "data/shards", "out")


@dataclass(frozen=True)
class Plan:
    """`params` is the text of params.yaml; `cost` measures for some seconds and says what a run costs."""

    about: str
    params: str
    text: str
    cost: "Callable[[], Cost]"


def plan_of(data: Path, folder: Path, wanted: str | None = None) -> Plan:
    """Look at the data; DataError where they are none that we know. `wanted` names a preset for one's own pictures."""
    _check_place(data, folder)
    return _planned(data, folder, wanted)


def params_of(data: Path) -> "Params":
    """The parameters that fit the data, for who wants to read them and make no project."""
    return _checked(_planned(data, data.resolve(), None).params)


def _planned(data: Path, folder: Path, wanted: str | None) -> Plan:
    """By the first kind that knows the data."""
    request = ProfileRequest(data, folder, _device, None if wanted is None else own_preset(wanted), own_preset)
    for kind in KINDS.values():
        if (chosen := kind.parameters_for(request)) is not None:
            return _plan(chosen, data)
    words = dict.fromkeys(words for kind in KINDS.values() if (words := kind.data_words()) is not None)
    raise DataError(
        f"--data: {data} must hold {' or '.join(words)}, but there is neither; data sets by name are in docs/data.md, "
        "examples with --preset"
    )


def _plan(chosen: Chosen, data: Path) -> Plan:
    text = with_header(chosen)
    params = _checked(text)
    return Plan(chosen.about, text, chosen.text(), lambda: _cost(params, chosen, data))


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


def _device() -> str:
    from ddpm_core.device import pick_device

    return pick_device("auto").type


def _cost(params: "Params", chosen: Chosen, data: Path) -> "Cost":
    from pipelines.profiling.cost import cost_of

    if chosen.examples is None:
        return cost_of(params, *_of_table(params, data), chosen.prepare_seconds)
    spec, arrays = chosen.examples(params)
    return cost_of(params, spec, arrays, (chosen.train_count, chosen.test_count), chosen.prepare_seconds)


def _of_table(params: "Params", data: Path) -> "Examples":
    source = replace(params.source, path=str(inner_folder(data).resolve()))
    return _prepared(replace(params, source=source), Path())


def _prepared(params: "Params", root: Path) -> "Examples":
    """Small data are prepared as stage prepare does it, in a folder that is removed."""
    from pipelines.shards.archive import joined

    kind = kind_of(params.kind)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = kind.prepare(params.source, params.split, Path(scratch), root, 1)
        manifest = prepared.manifest
        train, test = manifest.of_split("train"), manifest.of_split("test")
        if not train:
            first = "".join(f"; {each.name}: {each.reason}" for each in prepared.rejected[:1])
            raise DataError(
                f"the data must hold an example to learn from, but none is left: {len(test)} are held out to judge "
                f"with, and {len(prepared.rejected)} cannot be used{first}"
            )
        examples = list(kind.examples(Path(scratch), train[:EXAMPLES], manifest.spec))
        arrays = joined(
            [{name: array[None] for name, array in each.arrays.items()} for each in examples], manifest.spec
        )
    return manifest.spec, arrays, (len(train), len(test))
