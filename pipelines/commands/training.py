"""What `ddpm train` can do beside training here: by several processes, and watched for where its time goes."""

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
        help="train by N processes of this machine, which share its threads or have a GPU each "
        "(default: runtime.processes)",
    )
    verb.add_argument(
        "--profile",
        action="store_true",
        help="take a few steps only; write a trace and a table of where their time goes to out/profile",
    )
    verb.add_argument(
        "--probe",
        action="store_true",
        help="train on one batch alone and see whether the network can learn it; writes nothing",
    )


def done_otherwise(args: argparse.Namespace, params: "Params", paths: "Paths") -> bool:
    """Whether more than plain training in this process was wanted, which then is done."""
    if args.nproc is not None and args.nproc < 1:
        raise ParamsError(f"--nproc: must be at least 1, got {args.nproc}")
    processes = args.nproc if args.nproc is not None else params.runtime.processes
    if args.profile or args.probe:
        if args.nproc is not None or (args.profile and args.probe):
            raise ParamsError("--profile and --probe are for one process, one of them at a time: leave the rest out")
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
