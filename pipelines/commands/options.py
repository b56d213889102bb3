"""Options that several commands have, with one text each."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError

if TYPE_CHECKING:
    from pipelines.paths import Paths


def add_bundle(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--bundle", metavar="FOLDER", help="the bundle (default: the one that the project just built)")


def add_sampling(verb: argparse.ArgumentParser) -> None:
    """--sampler, --steps and --guidance; None where the bundle's own value stays."""
    verb.add_argument("--sampler", metavar="KIND", help="as ddim or unipc_2; docs/samplers.md (default: the bundle's)")
    verb.add_argument(
        "--steps",
        type=int,
        help="sampler steps; guidance and samplers of two stages evaluate the network more often (default: the "
        "bundle's)",
    )
    verb.add_argument(
        "--guidance", type=float, help="weight of classifier-free guidance, 0 = off (default: the bundle's)"
    )


def folder_outside_stages(out: str, paths: "Paths") -> Path:
    """The folder of --out; ParamsError where it would lie among the outputs of the stages."""
    folder = Path(out).resolve()
    if folder == paths.root or folder.is_relative_to(paths.root / "out") or folder.is_relative_to(paths.root / "data"):
        raise ParamsError(f"--out: must be a folder outside the stages' own out/ and data/, got {out}")
    return folder
