"""params.yaml to frozen dataclasses: every fault is told at once, with its dotted key, what must hold and what came.

The dataclasses stand beside the code that they configure and hold no defaults: params.yaml carries every value, so
that DVC sees every change. A union of dataclasses is chosen by `kind`. Types are judged by pydantic, in strict mode;
ranges by the table `__checks__` of each dataclass; what only the whole dataclass can judge by its `__post_init__`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from ddpm_core.checks import Checks, Config, at_least_1, not_negative
from ddpm_core.errors import DataError, ParamsError
from pipelines.parsing import Faults, missing, parse_value, unknown_keys

if TYPE_CHECKING:
    from ddpm_core.bundle.export_config import ExportConfig
    from ddpm_core.models.config import ModelConfig
    from ddpm_core.objectives.config import ObjectiveConfig
    from ddpm_core.samplers.config import SampleConfig
    from ddpm_core.training.config import TrainConfig
    from pipelines.partitions.config import PartitionConfig
    from pipelines.report.config import ReportConfig
    from pipelines.shards.archive import ShardConfig

Scalar = str | int | float | bool


@dataclass(frozen=True)
class RuntimeConfig(Config):
    """Where the work is done; listed by no stage, so that moving to another machine makes nothing stale."""

    device: Literal["auto", "cpu", "cuda"]
    threads: int | Literal["auto"]
    processes: int
    sampling_processes: int | Literal["auto"]
    workers: int
    runner: Literal["local", "dask"]
    deterministic: bool
    tracking: bool

    __checks__: ClassVar[Checks] = {
        "threads": (lambda v: v == "auto" or v >= 1, "auto, or at least 1"),
        "processes": at_least_1,
        "sampling_processes": (lambda v: v == "auto" or v >= 1, "auto, or at least 1"),
        "workers": not_negative,
    }


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml, a field a section; those without a type here have one that `kind` chooses."""

    kind: str
    source: Any
    split: Any
    contract: Any
    partition: PartitionConfig
    shard: ShardConfig
    reference: Any
    model: ModelConfig
    diffusion: ObjectiveConfig
    train: TrainConfig[Any]
    export: ExportConfig
    sample: SampleConfig
    evaluate: Any
    gate: Any
    report: ReportConfig
    runtime: RuntimeConfig

    def sections(self) -> dict[str, Any]:
        """The sections that can be seen, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def restrict(self, sections: Iterable[str]) -> Params:
        """The same parameters, of which only these sections and `runtime` can be seen."""
        return cast(Params, _View(self, (*sections, "runtime")))


class _View:
    """Some sections of the parameters; to look at another is an error that says where to list it."""

    def __init__(self, params: Params, sections: Iterable[str]) -> None:
        self._seen = {name: getattr(params, name) for name in sections}

    def __getattr__(self, name: str) -> Any:
        if name in self._seen:
            return self._seen[name]
        raise AttributeError(
            f"section {name!r} of params.yaml is not among those this stage may see ({', '.join(self._seen)}); "
            "list it under the stage's `params` in dvc.yaml"
        )

    def sections(self) -> dict[str, Any]:
        return dict(self._seen)

    def restrict(self, sections: Iterable[str]) -> Params:
        return cast(Params, _View(cast(Params, self), sections))


UNSEEN_BY_DVC = ("size", "nfiles")
"""Keys that DVC leaves out, wherever they are, when it looks for an earlier run whose outputs it can put back."""


def section_types(name: str) -> dict[str, Any]:
    """The type that each key of params.yaml becomes, for a kind of data by its name."""
    from ddpm_core.bundle.export_config import ExportConfig
    from ddpm_core.models.config import ModelConfig
    from ddpm_core.objectives.config import ObjectiveConfig
    from ddpm_core.samplers.config import SampleConfig
    from ddpm_core.training.config import TrainConfig
    from pipelines.kinds import KINDS
    from pipelines.partitions.config import PartitionConfig
    from pipelines.report.config import ReportConfig
    from pipelines.shards.archive import ShardConfig

    of_kind = KINDS[name].sections()
    return {
        "kind": Literal[*KINDS],
        "source": of_kind.source,
        "split": of_kind.split,
        "contract": of_kind.contract,
        "partition": PartitionConfig,
        "shard": ShardConfig,
        "reference": of_kind.reference,
        "model": ModelConfig,
        "diffusion": ObjectiveConfig,
        "train": cast(Any, TrainConfig)[of_kind.augment],
        "export": ExportConfig,
        "sample": SampleConfig,
        "evaluate": of_kind.evaluate,
        "gate": of_kind.gate,
        "report": ReportConfig,
        "runtime": RuntimeConfig,
    }


def load_params(path: Path) -> Params:
    """Read and judge a params.yaml; one ParamsError tells every fault of it."""
    from pipelines.kinds import KINDS

    value = read_yaml(path)
    kind = value.get("kind")
    types = section_types(kind if isinstance(kind, str) and kind in KINDS else next(iter(KINDS)))
    faults = Faults()
    unknown_keys(value, types, "", faults)
    sections: dict[str, Any] = {}
    for name, section in types.items():
        if name not in value:
            missing(section, name, faults)
        else:
            sections[name] = parse_value(section, value[name], name, faults)
    faults.raise_if_any(path.name, "`ddpm init . --update` shows which keys this version adds, renames and drops")
    params = Params(**sections)
    _judge_together(params, faults)
    _judge_names(value, "", faults)
    faults.raise_if_any(path.name)
    return params


def _judge_names(value: Any, where: str, faults: Faults) -> None:
    """Keys that users name themselves, such as those of attributes."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        name = f"{where}.{key}" if where else str(key)
        if key in UNSEEN_BY_DVC:
            faults.add(
                name, f"must have another name than {key}; DVC takes runs that differ in such a key for the same"
            )
        _judge_names(inner, name, faults)


def _judge_together(params: Params, faults: Faults) -> None:
    """What only two sections together can show."""
    _judge_objective(params, faults)
    _judge_shape(params, faults)
    if params.train.compile == "always" and not params.model.compiles:
        faults.add("train.compile", f"must be auto or never for model.kind {params.model.kind}, got always")
    train, weight = params.train, params.sample.guidance.weight
    if weight and train.label_dropout == 0 and train.conditioning != "none" and train.init_from is None:
        faults.add(
            "train.label_dropout",
            f"must be above 0 where sample.guidance.weight is not 0, got 0 with a weight of {weight:g}; guidance "
            "compares with what is made without a label, and this training never sees that: give 0.1, or a weight of 0",
        )


def _judge_objective(params: Params, faults: Faults) -> None:
    """The objective beside the network that it trains, and the sampler beside the levels it has."""
    objective, sample = params.diffusion, params.sample
    if params.model.is_autoencoder != objective.needs_autoencoder:
        wanted, came = ("an", "none") if objective.needs_autoencoder else ("no", "one")
        faults.add(
            "diffusion.kind",
            f"{objective.kind} must have a network that is {wanted} autoencoder, got model.kind {params.model.kind}, "
            f"which is {came}; vae belongs with elbo, every other network with diffusion",
        )
    if sample.sampler.steps > objective.levels:
        steps = f"must be from 1 to the {objective.levels} levels of the objective, got {sample.sampler.steps}"
        faults.add("sample.sampler.steps", steps)
    if not isinstance(sample.sampler.spacing, str) and sample.sampler.spacing[0] > objective.levels:
        most = f"must hold no level above the {objective.levels} of the objective, got {sample.sampler.spacing[0]}"
        faults.add("sample.sampler.spacing", most)
    _judge_student(params, faults)
    if objective.levels == 1 and sample.guidance.weight:
        faults.add(
            "sample.guidance.weight",
            f"must be 0 for {objective.kind}, which makes a sample in one evaluation, got {sample.guidance.weight:g}",
        )


def _judge_shape(params: Params, faults: Faults) -> None:
    """The network beside the shape of the data, where section source says it."""
    from pipelines.kinds import KINDS

    spec = KINDS[params.kind].declared_spec(params.source)
    if spec is None:
        return
    try:
        params.model.check(spec)
    except (ParamsError, DataError) as error:
        key, found, text = str(error).partition(": ")
        known = found and key.startswith("model")
        faults.add(key if known else "model", f"{text if known else error} (the shape is that of section source)")


def _judge_student(params: Params, faults: Faults) -> None:
    """A student beside what it is not trained for."""
    from ddpm_core.objectives.distillation_config import DistillationConfig

    objective, sample = params.diffusion, params.sample
    if not isinstance(objective, DistillationConfig):
        return
    if sample.guidance.weight:
        text = f"must be 0 for a student, which has diffusion.guidance in its answers, got {sample.guidance.weight:g}"
        faults.add("sample.guidance.weight", text)
    if params.train.hold_out:
        faults.add("train.hold_out", f"must be 0 for diffusion.kind distillation, got {params.train.hold_out}")
    own = objective.only_sampler
    if own is not None and sample.sampler != own:
        faults.add("sample.sampler", f"must be the one that diffusion.method trains for, {own}, got {sample.sampler}")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read as DVC reads it (YAML 1.2: `2e-4` is a number)."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.is_file():
        raise ParamsError(f"{path}: file not found; run from the project's folder or give --project")
    try:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path.name}: must be YAML that can be read; {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ParamsError(f"{path.name}: must be a mapping of sections, got {type(value).__name__}")
    return value


def stage_sections(root: Path) -> dict[str, tuple[str, ...]]:
    """Which sections each stage may see, by the stage's name and in the order of dvc.yaml; keys of other files are
    no sections."""
    stages = read_yaml(root / "dvc.yaml")["stages"]
    return {
        name: tuple(key for key in stage.get("params", ()) if isinstance(key, str)) for name, stage in stages.items()
    }


def as_flat(params: Params) -> dict[str, Scalar]:
    """Every value under its dotted key, as a tracker wants them; what is no scalar as its JSON text."""
    return flat(params.sections())


def flat(sections: Mapping[str, Any]) -> dict[str, Scalar]:
    """The same of some sections by name."""
    found: dict[str, Scalar] = {}
    for name, section in sections.items():
        _flatten(name, section, found)
    return found


def _flatten(where: str, value: Any, into: dict[str, Scalar]) -> None:
    if is_dataclass(value):
        for field in fields(value):
            _flatten(f"{where}.{field.name}", getattr(value, field.name), into)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _flatten(f"{where}.{key}", item, into)
    elif isinstance(value, str | int | float | bool):
        into[where] = value
    else:
        into[where] = json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    return {field.name: getattr(value, field.name) for field in fields(value)}
