"""`ddpm variants`: the network of a bundle in int8, judged by the gate on its own samples, and timed here."""

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, checked_params, project_paths, sentence
from pipelines.commands.options import add_bundle

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.paths import Paths

log = logging.getLogger(__name__)

_LIMIT = 0.006  # at this the int8 samples of the default digits are as near to unseen ones as those in float32


def add_to(verbs: Verbs) -> None:
    text = "make the int8 variant of a bundle, judge it and time it"
    verb = verbs.add_parser("variants", help=text, description=sentence(text))
    add_bundle(verb)
    verb.add_argument(
        "--limit",
        type=float,
        default=_LIMIT,
        help="largest error of the estimate of the clean datum at any level, in the network's units, where data are "
        f"about 1; the layers that cost most stay in float32 (default: {_LIMIT})",
    )
    verb.add_argument("--calibrate", type=int, default=32, help="training data to calibrate on (default: 32)")
    verb.add_argument("--compare", type=int, default=2, help="further training data to compare on (default: 2)")
    verb.add_argument("--batches", default="1,16", help="batches to time, with commas (default: 1,16)")
    verb.set_defaults(action=variants)


def variants(args: argparse.Namespace) -> None:
    """Write FOLDER.variants: the variant's bundle, its measurement, and variants.json."""
    for option, value in (("--calibrate", args.calibrate), ("--compare", args.compare)):
        if value < 1:
            raise ParamsError(f"{option}: must be at least 1, got {value}")
    if not 0 < args.limit < 1:
        raise ParamsError(f"--limit: must be above 0 and below 1, got {args.limit}")
    batches = batches_of(args.batches)
    paths = project_paths(args)
    params = checked_params(paths, computes=True)
    try:
        from pipelines.variants.build import INT8, int8_bundle
    except ModuleNotFoundError as error:
        raise ParamsError(f"ddpm variants: needs the package {error.name}; install it with `make install`") from error
    from ddpm_core.bundle.format import read_bundle
    from pipelines.variants.index import FP32, Index, Judged, folder_of, machine
    from pipelines.variants.probes import first_data
    from pipelines.variants.timing import milliseconds

    folder = Path(args.bundle) if args.bundle else paths.bundle
    bundle = read_bundle(folder)
    data = first_data(paths.shards, args.calibrate + args.compare)
    made, difference = int8_bundle(bundle, data, calibrated=args.calibrate, compared=args.compare, limit=args.limit)
    made.write(folder_of(folder) / INT8)
    outcome, headline = _judged(params, paths, folder_of(folder), INT8)
    ms = milliseconds({FP32: bundle, INT8: made}, batches)
    Index(bundle.digest, machine(), ms, {INT8: Judged(made.digest, outcome, headline, difference)}).write(folder)
    for name, times in ms.items():
        log.info("%s: CPU ms an evaluation, by batch: %s", name, times)
    log.info("int8: %s; %s", outcome, folder_of(folder))


def _judged(params: "Params", paths: "Paths", folder: Path, name: str) -> tuple[str, str]:
    """The gate's outcome on samples of the variant, and why, by the code that judges bundles."""
    from pipelines.gate.record import judged_in
    from pipelines.stages.evaluate import measure_bundle

    out = folder / "judged" / name
    # torch would run the network in float32.
    params = replace(params, evaluate=replace(params.evaluate, engine="onnxruntime"))
    measure_bundle(params, paths, folder / name, out, panels=False)
    verdict = judged_in(out, params.gate)
    sys.stdout.write(verdict.table() + "\n")
    return verdict.outcome, verdict.headline


def batches_of(text: str) -> list[int]:
    words = text.split(",")
    batches = [int(word) for word in words if word.strip().isdecimal()]
    if len(batches) != len(words) or min(batches, default=0) < 1:
        raise ParamsError(f"--batches: must be whole numbers from 1 on, such as 1,16, got {text!r}")
    return batches
