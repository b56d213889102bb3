"""Two runs to hold against each other: found by folder, MLflow run or model version."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.evaluation.authenticity import METRICS, SAMPLES
from pipelines.kinds.facts import registered_name
from pipelines.paths import Paths
from pipelines.report.compared import NamedRun, read_run
from pipelines.tracking.aliases import ALIASES
from pipelines.tracking.journal import RunGone
from pipelines.tracking.store_access import store_must_answer

if TYPE_CHECKING:
    from pipelines.params import Params

_RUN_ID = re.compile(r"[0-9a-f]{32}")


@contextmanager
def open_runs(names: tuple[str, str], params: "Params", paths: Paths) -> Iterator[tuple[NamedRun, NamedRun]]:
    """Both runs; what had to be fetched for them goes when the block ends."""
    with TemporaryDirectory(prefix="compare-") as scratch:
        first, second = (_open(name, params, paths, Path(scratch) / str(place)) for place, name in enumerate(names))
        yield first, second


def _open(name: str, params: "Params", paths: Paths, scratch: Path) -> NamedRun:
    folder = Path(name)
    if folder.is_dir():
        inner = folder if (folder / METRICS).is_file() else folder / "out"
        return read_run(name, inner, inner / SAMPLES)
    version, run_id = _version(name, params, paths), _RUN_ID.fullmatch(name)
    if version is None and run_id is None:
        raise ParamsError(
            "a run must be a folder with metrics.json and record.json, an MLflow run id (32 hex digits), a version of "
            f"{registered_name(params.gate, paths)} (a number, or {', '.join(ALIASES)}) or models:/NAME/VERSION, got "
            f"{name!r}"
        )
    scratch.mkdir()
    return _fetched(name, version, paths, scratch)


def _version(name: str, params: "Params", paths: Paths) -> tuple[str, str] | None:
    """(model, version or alias) that a word means, if it means one."""
    if name.startswith("models:/") and name.count("/") == 2:
        _, model, version = name.split("/")
        return model, version
    return (registered_name(params.gate, paths), name) if name in ALIASES or name.isdecimal() else None


def _fetched(name: str, version: tuple[str, str] | None, paths: Paths, scratch: Path) -> NamedRun:
    from pipelines.tracking.tracker import connect

    with store_must_answer():
        from pipelines.tracking.mlflow_registry import Registry, fetch_run

        store = connect(paths.home)
        if version is None:
            try:
                fetched = fetch_run(store, name, scratch)
            except RunGone as error:
                raise ParamsError(f"{name}: run not found in {store.uri}") from error
            return read_run(name, fetched / "evaluate", fetched / "samples")
        registry = Registry(store, version[0])
        held = registry.named(version[1])
        if held is None:
            raise ParamsError(f"{name}: {version[0]} must have such a version, and the registry has none")
        files = registry.fetch(held, scratch)
        return read_run(f"{version[0]} version {held.number}", files, files)
