"""`ddpm run`: all stages in order through DVC, then the promotion."""

import argparse
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import DdpmError, ParamsError, Stopped
from pipelines.commands.common import Verbs, checked_params, project_paths, sentence
from pipelines.runtime.lifetime import own_children
from pipelines.runtime.signals import Passing, in_a_thread, passing_on

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.paths import Paths
    from pipelines.versioning.dvc_repo import DvcRepo

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "run the stale stages in order, then promote; returns the exit code of a failing stage"
    verb = verbs.add_parser("run", help=text, description=sentence(text))
    verb.add_argument("--no-promote", action="store_true", help="stop after the gate")
    verb.add_argument("--only", metavar="STAGE", help="run only this stage, if it is stale, and promote nothing")
    verb.set_defaults(action=run)


def run(args: argparse.Namespace) -> None:
    """Check all of params.yaml, then run the stages and promote."""
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.kinds import kind_of
    from pipelines.kinds.watched import check_watched
    from pipelines.projects.room import lack_of_project
    from pipelines.versioning.dvc_repo import DvcRepo

    check_watched(params.source.path, paths.root)
    kind = kind_of(params.kind)
    kind.check_source(params.source, paths.root)
    for caution in kind.cautions(params):
        log.warning("%s", caution)
    if lacking := lack_of_project(paths):
        log.warning("%s; the first stage that finds none stops, and what is done by then is kept", lacking)

    repo = DvcRepo(paths.root)
    if args.only is not None:
        known = repo.order()
        if args.only not in known:
            raise ParamsError(f"--only: must be one of {', '.join(known)}, got {args.only!r}")
        return run_stages(repo, [args.only], paths.home)
    run_stages(repo, repo.order(), paths.home)
    try:
        if not args.no_promote:
            promote_judged(params, paths)
    finally:  # also shows where to look at a refused model
        sys.stdout.write(where_things_are(paths, params.kind))


def promote_judged(params: "Params", paths: "Paths") -> None:
    """Promote the bundle that passed, if there is a registry."""
    if not params.runtime.tracking:
        log.info("promotion  skipped: runtime.tracking is false, so there is no registry")
        return
    from pipelines.release.promotion import promote
    from pipelines.tracking.tracker import open_tracker

    began = time.monotonic()
    log.info("%s", promote(params, paths, open_tracker(params.runtime.tracking, paths.home)))
    log.info("promotion  done in %.1f s", time.monotonic() - began)


def run_stages(repo: "DvcRepo", names: Sequence[str], home: Path) -> None:
    """Run these stages in order, with a line for each. Passes a signal on to the stage and waits for it to save."""
    own_children()
    ran = 0
    start = time.monotonic()
    with passing_on() as signals:
        for name in names:
            ran += in_a_thread(lambda name=name: run_stage(repo, name, signals))  # type: ignore[misc]
            if signals.name is not None:
                raise _stopped(signals.name, name)
            if name == "train":
                forget_finished(home / "checkpoints")
    if len(names) > 1:
        log.info("%d of %d stages ran; %.1f s", ran, len(names), time.monotonic() - start)


def run_stage(repo: "DvcRepo", name: str, signals: Passing) -> bool:
    """Run one stage, if it is stale."""
    if not repo.is_stale(name):
        log.info("%-9s  unchanged", name)
        return False
    if signals.name is not None:
        return False
    log.info("%-9s  ...", name)
    began = time.monotonic()
    try:
        repo.run_stage(name)
    except DdpmError as error:
        if signals.name is not None:
            raise _stopped(signals.name, name) from error
        raise
    log.info("%-9s  done in %.1f s", name, time.monotonic() - began)
    return True


def _stopped(signal: str, stage: str) -> Stopped:
    return Stopped(
        f"stopped by {signal} at stage {stage}; what was done is kept, and the same command resumes from there"
    )


def forget_finished(checkpoints: Path) -> None:
    """Remove the checkpoint of a finished training, once DVC has its outputs."""
    for finished in checkpoints.glob("*/finished.json"):
        shutil.rmtree(finished.parent, ignore_errors=True)


def where_things_are(paths: "Paths", kind: str) -> str:
    """The end of a run's output: what to look at, and how."""
    from pipelines.kinds import kind_of

    here = Path.cwd()
    ddpm = "ddpm" if here.is_relative_to(paths.root) else f"ddpm --project {os.path.relpath(paths.root, here)}"
    lines = [
        ("sample grid", paths.samples / "grid.png"),
        ("report", paths.report / "index.html"),
        ("bundle", paths.bundle),
        ("runs and registry", f"{ddpm} ui"),
        ("more samples", f"{ddpm} {kind_of(kind).serving().trial}"),
    ]
    return "\n" + "".join(f"{name:<18} {place}\n" for name, place in lines)
