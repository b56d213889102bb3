"""`ddpm run`: the whole way, stage by stage through DVC, then the promotion."""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, checked_params, project_paths

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.paths import Paths
    from pipelines.tools.dvc_repo import DvcRepo

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "run what is stale, in order, then promote; returns the failing stage's own exit code"
    verb = verbs.add_parser("run", help=text, description=text.capitalize() + ".")
    verb.add_argument("--no-promote", action="store_true", help="stop after the gate")
    verb.add_argument("--only", metavar="STAGE", help="run this stage alone if it is stale, and promote nothing")
    verb.set_defaults(action=run)


def run(args: argparse.Namespace) -> None:
    """Nothing is started before the whole of params.yaml is found good."""
    paths = project_paths(args)
    params = checked_params(paths)
    from pipelines.sources.watched import check_watched
    from pipelines.tools.dvc_repo import DvcRepo

    check_watched(params.source.path, paths.root)

    repo = DvcRepo(paths.root)
    if args.only is not None:
        known = repo.order()
        if args.only not in known:
            raise ParamsError(f"--only: must be one of {', '.join(known)}, got {args.only!r}")
        return run_stages(repo, [args.only])
    run_stages(repo, repo.order())
    try:
        if not args.no_promote:
            promote_judged(params, paths)
    finally:  # a model that is refused is there to be looked at all the same
        sys.stdout.write(where_things_are(paths))


def promote_judged(params: "Params", paths: "Paths") -> None:
    """Make the bundle that passed champion, where there is a registry."""
    if not params.runtime.tracking:
        log.info("promotion  left out: runtime.tracking is false, so there is no registry")
        return
    from pipelines.promotion import promote
    from pipelines.tools.tracking import open_tracker

    began = time.monotonic()
    log.info("%s", promote(params, paths, open_tracker(params.runtime.tracking, paths.home)))
    log.info("promotion  done in %.1f s", time.monotonic() - began)


def run_stages(repo: "DvcRepo", names: Sequence[str]) -> None:
    """These stages in order, a line each."""
    ran = 0
    start = time.monotonic()
    for name in names:
        if not repo.is_stale(name):
            log.info("%-9s  unchanged", name)
            continue
        log.info("%-9s  ...", name)
        began = time.monotonic()
        repo.run_stage(name)
        ran += 1
        log.info("%-9s  done in %.1f s", name, time.monotonic() - began)
    if len(names) > 1:
        log.info("%d of %d stages had something to do; %.1f s", ran, len(names), time.monotonic() - start)


def where_things_are(paths: "Paths") -> str:
    """The last words of a run: what to look at, and how."""
    lines = [
        ("sample grid", paths.samples / "grid.png"),
        ("report", paths.report / "index.html"),
        ("bundle", paths.bundle),
        ("runs and registry", "make ui     (or: ddpm ui)"),
        ("more samples", "ddpm sample --n 64 --label cycle --out grid.png"),
    ]
    return "\n" + "".join(f"{name:<18} {place}\n" for name, place in lines)
