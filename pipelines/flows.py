"""The pipeline as a Prefect flow: the graph and order are DVC's; a task is one stage that DVC runs if it is stale.

Prefect decides when, where, retries and alerts; it never decides what is stale and holds no data. A stage runs in its
own process, whose output becomes the task's log. Temporary failures are retried: a busy lock, a killed process, the
network. A failed gate, a failed contract, bad parameters and exit code 1 are not: the same data and code would fail
again.
"""

import base64
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, get_client, get_run_logger, runtime, task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from prefect.tasks import Task

from ddpm_core.errors import ParamsError, StoreUnreachable, TryAgain
from pipelines.kinds import kind_of
from pipelines.kinds.watched import check_watched
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.release.promotion import promote
from pipelines.runtime.environment import quieten
from pipelines.runtime.lifetime import GUARD, end_quickly, end_with_parent, own_children
from pipelines.runtime.locks import locked
from pipelines.tracking.tracker import open_tracker
from pipelines.versioning.dvc_repo import DvcRepo, StageFailed

RETRIES = 2
RETRY_SECONDS = 10
STORE_RETRY_SECONDS = (10, 30, 60)  # a new server needs half a minute to start on a busy machine
TRANSIENT_CODES = (75, 137, 143)  # temporary failure; killed (out of memory); stopped after saving
GATE_FAILED = 3


def may_pass_by_itself(task: Task[..., Any], run: TaskRun, state: State) -> bool:
    """Whether to retry a failed stage or promotion."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, StageFailed):
        return error.exit_code in TRANSIENT_CODES
    return isinstance(error, TryAgain | StoreUnreachable | OSError)


@task(
    name="stage",
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_pass_by_itself,
)
def run_stage(project: str, name: str) -> str:
    """Run one stage through DVC; its output goes to the task's log, its exit code into the error."""
    log = get_run_logger()
    if not DvcRepo(Path(project)).is_stale(name):
        log.info("%s: unchanged", name)
        return "unchanged"
    command = [sys.executable, "-m", "pipelines.cli", "--project", project, "run", "--only", name]
    own_children()
    environment = {name: value for name, value in os.environ.items() if name != GUARD}  # it ends by itself after saving
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="backslashreplace", env=environment
    )
    try:
        for line in process.stdout or ():
            if line.strip():
                log.info("%s", line.rstrip())
        code = process.wait()
    finally:  # end the stage of a cancelled run; it saves its state on this signal
        if process.poll() is None:
            process.terminate()
            for line in process.stdout or ():
                log.info("%s", line.rstrip())
            process.wait()
    if code != 0:
        raise StageFailed(name, code if code > 0 else 128 - code)
    return "ran"


@task(
    name="promote",
    cache_policy=NO_CACHE,
    retries=len(STORE_RETRY_SECONDS),
    retry_delay_seconds=list(STORE_RETRY_SECONDS),
    retry_condition_fn=may_pass_by_itself,
)
def promote_bundle(project: str) -> str:
    """Promote the judged bundle if it is no worse than the champion; a second call changes nothing."""
    paths = Paths.of(Path(project))
    params = load_params(paths.params)
    if params.runtime.tracking:
        outcome = str(promote(params, paths, open_tracker(params.runtime.tracking, paths.home)))
    else:
        outcome = "skipped: runtime.tracking is false, so there is no registry"
    get_run_logger().info("%s", outcome)
    return outcome


@flow(name="ddpm-pipeline")
def pipeline(project: str | None = None) -> dict[str, str]:
    """Every stage in the graph's order, then the promotion; `project` defaults to the one that contains this file."""
    quieten()
    end_quickly()
    if "PREFECT__FLOW_RUN_ID" in os.environ:  # a worker started this process, and its death ends the run as crashed
        end_with_parent()
    paths = Paths.of(Path(project) if project else Path(__file__).parent.parent)
    if not paths.params.is_file():
        raise ParamsError(f"project: must be a folder that holds params.yaml and dvc.yaml, got {project}")
    params = load_params(paths.params)  # nothing starts on bad parameters
    check_watched(params.source.path, paths.root)
    kind_of(params.kind).check_source(params.source, paths.root)
    with known_to_be_alive(paths.home):
        return run_all(paths)


def run_all(paths: Paths) -> dict[str, str]:
    """Run the stages, then the promotion; gives the outcome of each."""
    outcomes: dict[str, str] = {}
    for name in DvcRepo(paths.root).order():
        try:
            outcomes[name] = run_stage(str(paths.root), name)
        except StageFailed as error:
            if error.exit_code == GATE_FAILED:
                show(name, paths)
            raise
        show(name, paths)
    outcomes["promote"] = promote_bundle(str(paths.root))
    create_markdown_artifact(key="stages", markdown=stages_text(outcomes), description="What was done")
    return outcomes


# ----------------------------------------------------------------------------------------- runs that did not end


@contextmanager
def known_to_be_alive(home: Path) -> Iterator[None]:
    """Lock a file named after this run. Runs with an unlocked file, as after a power cut, are reported as crashed.

    One lock is held while a file is made and locked, and while others are looked at: another flow never sees the file
    of a live run unlocked.
    """
    run = runtime.flow_run.id
    if run is None:  # not run by Prefect
        yield
        return
    folder = home / "flow-runs"
    folder.mkdir(parents=True, exist_ok=True)
    place, one_at_a_time = folder / str(run), home / "flow-runs.lock"
    with ExitStack() as held:
        with locked(one_at_a_time):
            file = held.enter_context(place.open("a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for dead in left_behind(folder):
                tell_crashed(dead)
        try:
            yield
        finally:
            with locked(one_at_a_time):
                place.unlink(missing_ok=True)


def left_behind(folder: Path) -> Iterator[str]:
    """The runs whose process ended without ending the run; gives each one once."""
    for place in sorted(folder.iterdir()):
        with place.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield place.name
            place.unlink(missing_ok=True)


def tell_crashed(run: str) -> None:
    """Tell Prefect that a run has crashed."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except (ObjectNotFound, ValueError):  # another server, or the run was deleted
            return
        if state is not None and not state.is_final():
            crashed: State[Any] = Crashed(message="Its process had ended when the next run began.")
            client.set_flow_run_state(UUID(run), crashed, force=True)
            get_run_logger().info("run %s was %s, but its process has ended; it is now Crashed", run, state.name)


def show(name: str, paths: Paths) -> None:
    """The artifacts of a finished stage for the run's page."""
    if name == "evaluate" and (paths.samples / "grid.png").is_file():
        create_image_artifact(key="samples", image_url=data_uri(paths.samples / "grid.png"), description="Samples")
    elif name == "report":
        create_link_artifact(key="report", link=(paths.report / "index.html").as_uri(), link_text="the report")
    elif name == "gate" and paths.gate.is_file():
        gate = json.loads(paths.gate.read_text(encoding="utf-8"))
        create_table_artifact(key="gate", table=gate_table(gate), description=f"Verdict: {gate['outcome']}")


def gate_table(gate: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of a verdict as rows, without columns that a page cannot show."""
    columns = ("rule", "value", "limit", "outcome", "text")
    return [{column: "-" if rule[column] is None else rule[column] for column in columns} for rule in gate["rules"]]


def stages_text(outcomes: dict[str, str]) -> str:
    """A table of the outcome of each stage."""
    rows = "".join(f"| {name} | {outcome} |\n" for name, outcome in outcomes.items())
    return f"| stage | outcome |\n|---|---|\n{rows}"


def data_uri(path: Path) -> str:
    """A picture as text, so that the page needs no file server."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
