"""The option of `ddpm evaluate` besides the stage: measure any bundle, in its own folder."""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import GateFailed, ParamsError
from pipelines.commands.options import folder_outside_stages

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.paths import Paths

log = logging.getLogger(__name__)


def add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--bundle",
        metavar="FOLDER",
        help="measure this bundle on the project's data instead of the project's own, and write nothing into out/; "
        "exit code 3 if it does not pass the gate",
    )
    verb.add_argument("--out", metavar="FOLDER", help="where --bundle writes metrics.json, record.json and samples/")


def done_otherwise(args: argparse.Namespace, params: "Params", paths: "Paths") -> bool:
    """Measure the bundle of --bundle, if given, and say whether it was; GateFailed if it does not pass.

    `params` are all sections, for the verdict.
    """
    if args.bundle is None:
        if args.out is not None:
            raise ParamsError("--out: belongs to --bundle; the stage itself writes to out/")
        return False
    if args.out is None:
        raise ParamsError("--bundle: needs --out FOLDER, a place for metrics.json, record.json and samples/")
    out = folder_outside_stages(args.out, paths)
    from pipelines.gate.record import judged_in
    from pipelines.stages.evaluate import measure_bundle

    measure_bundle(params, paths, Path(args.bundle), out)
    judged = judged_in(out, params.gate)
    sys.stdout.write(judged.table() + "\n")
    log.info("measured: %s", out)
    if not judged.passed:
        raise GateFailed(f"the bundle does not pass the gate ({judged.outcome}); its measurement is in {out}")
    return True
