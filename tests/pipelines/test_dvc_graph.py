"""dvc.yaml against the code: the same stages, sections and paths, and all our code that a stage runs in its deps."""

from dataclasses import fields
from pathlib import Path

import pytest

from pipelines.commands.stages import STAGES
from pipelines.kinds import KINDS
from pipelines.kinds.kind import Sections
from pipelines.params import Params, load_params, read_yaml, section_types, stage_sections
from pipelines.parsing import dataclasses_of
from pipelines.paths import Paths
from pipelines.training.code_files import of_training
from tests.support.imports import ROOT, closure, is_only_words, own_modules

GRAPH = read_yaml(ROOT / "dvc.yaml")

# What any stage runs and none lists: it carries messages, paths, parameters, bytes to disk and numbers to the tracker,
# and decides no byte of an output by itself (the parameters' values are listed, section by section).
CARRIERS = (
    "ddpm_core/__init__.py",
    "ddpm_core/checks.py",
    "ddpm_core/errors.py",
    "ddpm_core/files.py",
    "ddpm_core/diff.py",
    "pipelines/__init__.py",
    "pipelines/kinds/__init__.py",
    "pipelines/kinds/kind.py",
    *(f"pipelines/kinds/{kind}/__init__.py" for kind in KINDS),
    "pipelines/runtime/lifetime.py",
    "pipelines/paths.py",
    "pipelines/params.py",
    "pipelines/parsing.py",
    "pipelines/runtime/progress.py",
    "pipelines/runtime/environment.py",
    "pipelines/runtime/threads.py",
    "pipelines/stages/__init__.py",
    "pipelines/versioning/git.py",
    "pipelines/tracking/journal.py",
    "pipelines/tracking/tracker.py",
)

# What a stage reaches and its outputs do not depend on. To list these would train anew for nothing.
WITHOUT_EFFECT = {
    "gate": ("ddpm_core/scaling.py", "ddpm_core/spec.py"),  # the types of what a kind of data is asked
    # What a loss is computed with: of an objective export reads how a bundle samples.
    "export": ("ddpm_core/likelihood/terms.py", "ddpm_core/tensors/process.py"),
}


def deps_of(stage: str) -> list[str]:
    """The deps as paths, for each kind of data; `${source.path}` is what params.yaml says."""
    listed = [dep for dep in GRAPH["stages"][stage]["deps"] if not dep.startswith("${")]
    return list(dict.fromkeys(dep.replace("${kind}", kind) for dep in listed for kind in KINDS))


def outs_of(stage: str) -> list[str]:
    return [*GRAPH["stages"][stage].get("outs", []), *GRAPH["stages"][stage].get("metrics", [])]


def covered(path: str, deps: list[str]) -> bool:
    return any(path == dep or path.startswith(dep + "/") for dep in deps)


def reached_by(stage: str) -> list[str]:
    """Files of ours that a stage's module reaches by imports, or that define a section which its kind of data chooses:
    a stage calls the methods of its sections."""
    chosen = {field.name for field in fields(Sections)} & set(stage_sections(ROOT)[stage])
    types = [getattr(kind.sections(), section) for kind in KINDS.values() for section in chosen]
    modules = {cls.__module__ for type in types for cls in (dataclasses_of(type) or [type])}
    starts = [ROOT / "pipelines" / "stages" / f"{stage}.py", *(own_modules()[name] for name in modules)]
    return sorted({path.relative_to(ROOT).as_posix() for start in starts for path in closure(start)})


def missing_deps(stage: str) -> list[str]:
    """Files of ours that a stage runs and dvc.yaml does not list for it."""
    reached = reached_by(stage)
    needed = [path for path in reached if path not in CARRIERS and not is_only_words(ROOT / path)]
    listed = [*deps_of(stage), *WITHOUT_EFFECT.get(stage, ())]
    return [path for path in needed if not covered(path, listed)]


def test_stages_are_the_same_in_the_graph_the_command_line_and_the_code() -> None:
    modules = {path.stem for path in (ROOT / "pipelines" / "stages").glob("*.py")} - {"__init__"}
    assert list(GRAPH["stages"]) == list(STAGES)
    assert modules == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_command_of_a_stage_is_its_own_verb(stage: str) -> None:
    assert GRAPH["stages"][stage]["cmd"] == f"${{ddpm}} {stage}"


def test_every_section_but_runtime_is_read_by_some_stage_and_known_to_the_code() -> None:
    listed = {section for sections in stage_sections(ROOT).values() for section in sections}
    known = {field.name for field in fields(Params)}
    assert listed == known - {"runtime"}
    assert set(section_types("pictures")) == known
    assert set(read_yaml(ROOT / "params.yaml")) == known


def test_every_output_is_a_path_of_the_code_and_git_ignores_it() -> None:
    paths = Paths.of(ROOT)
    known = {
        getattr(paths, name).relative_to(ROOT).as_posix()
        for name in dir(Paths)
        if isinstance(getattr(Paths, name), property) and getattr(paths, name).is_relative_to(ROOT)
    }
    for stage in STAGES:
        assert set(outs_of(stage)) <= known, stage


@pytest.mark.parametrize("stage", STAGES)
def test_every_dep_is_there_or_another_stage_makes_it(stage: str) -> None:
    made = {out for other in STAGES for out in outs_of(other)}
    for dep in deps_of(stage):
        assert dep in made or (ROOT / dep).exists(), dep


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"train"}))
def test_deps_cover_all_our_code_that_the_stage_runs(stage: str) -> None:
    assert missing_deps(stage) == []


def test_stage_train_is_stale_by_all_files_that_make_another_training() -> None:
    """The folders may hold more: then the stage runs, finds the finished training, and leaves the same bytes."""
    for kind in KINDS:
        assert [path for path in of_training(kind).files if not covered(path, deps_of("train"))] == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_dep_is_code_that_the_stage_does_not_run(stage: str) -> None:
    """A part of the folder of each kind of data is listed where the stage runs it for one of them."""
    reached = reached_by(stage)
    for dep in GRAPH["stages"][stage]["deps"]:
        of_each = [dep.replace("${kind}", kind) for kind in KINDS] if "${kind}" in dep else [dep]
        code = [path for path in of_each if (ROOT / path).suffix in ("", ".py") and (ROOT / path).exists()]
        if any(path.startswith(("ddpm_core", "pipelines")) for path in code):
            assert any(covered(path, code) for path in reached), (
                f"{stage} does not run {dep}; it makes it stale for nothing"
            )


def test_nothing_is_trained_on_data_that_the_contract_refused() -> None:
    for stage in ("shard", "reference", "train"):
        assert "out/contract.json" in deps_of(stage)


def test_report_comes_before_the_gate_so_that_a_failing_model_has_one() -> None:
    assert list(STAGES).index("report") < list(STAGES).index("gate")
    assert "out/gate.json" not in deps_of("report")


def test_default_parameters_are_good() -> None:
    assert load_params(Path(ROOT / "params.yaml")).runtime.device == "auto"
