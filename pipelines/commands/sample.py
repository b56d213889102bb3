"""`ddpm sample`: pictures from a bundle, with numpy and onnxruntime alone."""

import argparse
import logging
from pathlib import Path

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths

log = logging.getLogger(__name__)

SAMPLERS = "ancestral, ddim, dpmpp_1, dpmpp_2m, dpmpp_2s, heun, euler, langevin, predictor_corrector"


def add_to(verbs: Verbs) -> None:
    text = "sample pictures from a bundle"
    verb = verbs.add_parser("sample", help=text, description=text.capitalize() + ".")
    verb.add_argument("--bundle", metavar="FOLDER", help="the bundle (default: the one that the project just built)")
    verb.add_argument("--n", type=int, default=64, help="how many pictures (default: 64)")
    verb.add_argument(
        "--label",
        default="cycle",
        help="a class by number or name, a list `3,1,4`, `none`, or `cycle` through all (default: cycle)",
    )
    verb.add_argument("--sampler", metavar="KIND", help=f"{SAMPLERS} (default: the bundle's)")
    verb.add_argument("--steps", type=int, help="network evaluations, about (default: the bundle's)")
    verb.add_argument("--guidance", type=float, help="weight of classifier-free guidance, 0 = off (default: bundle's)")
    verb.add_argument("--seed", type=int, default=0, help="picture i has the seed SEED + i (default: 0)")
    verb.add_argument(
        "--out", default="grid.png", help="a .png grid, an .npz, or a folder of files (default: grid.png)"
    )
    verb.add_argument("--batch-size", type=int, default=64, help="pictures at a time; changes none (default: 64)")
    verb.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    verb.add_argument("--threads", type=int, default=1, help="threads of one network evaluation (default: 1)")
    verb.set_defaults(action=sample)


def sample(args: argparse.Namespace) -> None:
    if args.n < 1:
        raise ParamsError(f"--n: must be at least 1, got {args.n}")
    bundle = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from pipelines.serving.command import sample_to

    sample_to(bundle, args)
