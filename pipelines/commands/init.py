"""`ddpm init`: make a folder a project, for data of one's own or from a preset; `--update` brings one up to date."""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, sentence

if TYPE_CHECKING:
    from pipelines.profiling.cost import Cost

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "make a folder a project: looks at your data, chooses parameters that fit, says why and what a run costs"
    verb = verbs.add_parser("init", help=text, description=sentence(text))
    verb.add_argument("folder", metavar="FOLDER", help="where; new or empty, apart from .git and the data")
    what = verb.add_mutually_exclusive_group()
    what.add_argument(
        "--data",
        metavar="PATH",
        help="pictures (a folder, zip, tar or table of them), or a CSV or Parquet file of points or series",
    )
    verb.add_argument(
        "--preset",
        metavar="NAME",
        help="an example's parameters, or with --data those for such pictures; an unknown name lists them all",
    )
    what.add_argument(
        "--update", action="store_true", help="show what the params.yaml and dvc.yaml of a project lack in this version"
    )
    verb.add_argument(
        "--dry-run", action="store_true", help="with --data: print what was found and chosen, write nothing"
    )
    verb.add_argument("--write", action="store_true", help="with --update: change the files as shown")
    verb.set_defaults(action=init)


def init(args: argparse.Namespace) -> None:
    for option, needs in (("dry_run", "data"), ("write", "update")):
        if getattr(args, option) and not getattr(args, needs):
            raise ParamsError(f"--{option.replace('_', '-')}: must come with --{needs}, got it alone")
    folder = Path(args.folder)
    if args.update and args.preset:
        raise ParamsError("--preset: must come without --update, got both")
    if args.update:
        return update(folder, write=args.write)
    if args.data is not None:
        return from_data(folder, Path(args.data), args.preset, writes=not args.dry_run)
    if args.preset is None:
        raise ParamsError("init: must be told --data, --preset or --update, got none of them")
    from pipelines.projects.create import check_free, create, from_preset

    files = from_preset(args.preset, folder)
    check_free(folder, files)
    create(folder, files)
    from pipelines.profiling.plan import cost_of_project

    _show_cost(cost_of_project(folder), folder, writes=True)
    log.info("%s: a new project from preset %s; `ddpm run --project %s` runs it", folder, args.preset, folder)


def from_data(folder: Path, data: Path, preset: str | None, *, writes: bool) -> None:
    from pipelines.profiling.plan import plan_of
    from pipelines.projects.create import ProjectFiles, check_free, create

    plan = plan_of(data, folder, preset)
    files = ProjectFiles.of(folder.resolve().name, plan.about, plan.params)
    check_free(folder, files, data)
    sys.stdout.write(plan.text)
    sys.stdout.flush()
    cost = plan.cost()
    if writes:
        create(folder, files)
    _show_cost(cost, folder, writes=writes)
    if writes:
        sys.stdout.write(f"\nWrote {folder}: {', '.join(name for name in files.files if '/' not in name)}.\n")
        sys.stdout.write(f"Next: cd {folder} && ddpm run\n")


def _show_cost(cost: "Cost", folder: Path, *, writes: bool) -> None:
    """Also remembers the room that a run needs, which `ddpm run` looks for."""
    from pipelines.paths import Paths
    from pipelines.projects.room import lack, remember

    sys.stdout.write(cost.text())
    if lacking := lack(folder, cost.disk):
        log.warning("%s", lacking)
    if writes:
        remember(Paths.of(folder), cost.disk)


def update(folder: Path, *, write: bool) -> None:
    from pipelines.projects.update import updated

    changes = updated(folder)
    sys.stdout.write(changes.text() or f"{folder}: nothing to change, it fits this version\n")
    if write:
        changes.write()
    elif changes:
        sys.stdout.write(f"Nothing was written; `ddpm init {folder} --update --write` makes these changes.\n")
