"""Options of `ddpm train`: several processes, a profile, and a test on one batch."""

import argparse
import sys
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.runtime.lifetime import own_children
from pipelines.runtime.threads import in_use, share

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.paths import Paths


def add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--nproc",
        type=int,
        metavar="N",
        help="train with N processes on this machine, which share its threads or have a GPU each "
        "(default: runtime.processes)",
    )
    verb.add_argument(
        "--profile",
        action="store_true",
        help="profile a few steps only; write a trace and a table of times to out/profile",
    )
    verb.add_argument(
        "--probe",
        action="store_true",
        help="train on one batch and test whether the network can overfit it; writes nothing",
    )


def done_otherwise(args: argparse.Namespace, params: "Params", paths: "Paths") -> bool:
    """Do what these options ask for, if any, and say whether there was one."""
    if args.nproc is not None and args.nproc < 1:
        raise ParamsError(f"--nproc: must be at least 1, got {args.nproc}")
    processes = args.nproc if args.nproc is not None else params.runtime.processes
    if args.profile or args.probe:
        if args.nproc is not None or (args.profile and args.probe):
            raise ParamsError("--profile, --probe and --nproc exclude each other: give one of them")
        from pipelines.stages.train import probe, profile

        sys.stdout.write((profile if args.profile else probe)(params, paths))
        return True
    if processes == 1:
        return False
    from ddpm_core.training.distributed import is_launched
    from ddpm_core.training.launching import launch

    if is_launched():
        return False
    share(in_use(params.runtime.threads), processes)
    own_children()
    loud = ["--quiet"] * args.quiet + ["--debug"] * args.debug
    launch([sys.executable, "-m", "pipelines.cli", "--project", str(paths.root), *loud, "train"], processes)
    return True
