"""`ddpm forecast` and `ddpm impute`: a series goes on, or its gaps are filled; with numpy and onnxruntime alone."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths, sentence
from pipelines.commands.options import add_bundle, add_sampling
from pipelines.commands.sample import write
from pipelines.serving.base.limits import MOST_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.kinds.series.serving.files import Read
    from pipelines.kinds.series.serving.request import SeriesRequest

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "sample how a series goes on, from a bundle of series"
    verb = verbs.add_parser("forecast", help=text, description=sentence(text))
    verb.add_argument("--history", metavar="FILE", required=True, help="a CSV or Parquet file of what came before")
    verb.add_argument("--horizon", type=int, help="steps to sample (default: as many as the model was trained for)")
    _add_shared(verb, "forecast.csv")
    verb.set_defaults(action=forecast)
    text = "fill the gaps of a table, from a bundle of series that was trained to"
    verb = verbs.add_parser("impute", help=text, description=sentence(text))
    verb.add_argument("file", metavar="FILE", help="a CSV or Parquet file; empty cells are filled")
    _add_shared(verb, "imputed.csv")
    verb.set_defaults(action=impute)


def _add_shared(verb: argparse.ArgumentParser, out: str) -> None:
    add_bundle(verb)
    verb.add_argument(
        "--samples", type=int, default=100, help=f"how many samples, {MOST_SAMPLES} at most (default: 100)"
    )
    verb.add_argument("--seed", type=int, default=0, help="sample i has the seed SEED + i (default: 0)")
    verb.add_argument("--out", default=out, help=f"a .csv, .parquet, .npz, .json or .png (default: {out})")
    verb.add_argument("--output", choices=["samples", "quantiles", "both"], help="what it holds (default: samples)")
    verb.add_argument("--quantiles", metavar="LEVELS", help="as 0.05,0.5,0.95; holds these in place of samples")
    verb.add_argument("--time", metavar="COLUMN", help="the column of times (default: source.time, or `time`)")
    verb.add_argument("--start", metavar="TIME", help="the time of the first row, where there is no column of times")
    verb.add_argument("--series", metavar="COLUMN", help="the column with the series' names, where there are several")
    verb.add_argument("--label", metavar="NAME", help="the series; `none`: one that the model does not know")
    verb.add_argument(
        "--static", metavar="NAME=NUMBER", action="append", help="a static feature, for a series that is not known"
    )
    add_sampling(verb)
    verb.add_argument("--batch-size", type=int, default=64, help="samples at a time; changes none (default: 64)")
    verb.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    verb.add_argument("--threads", type=int, default=1, help="threads of one network evaluation (default: 1)")
    verb.add_argument(
        "--processes", type=int, metavar="N", default=1, help="as in `ddpm sample`; changes no sample (default: 1)"
    )


def forecast(args: argparse.Namespace) -> None:
    from pipelines.kinds.series.serving.request import ForecastRequest

    _answer(args, "forecast", ForecastRequest, "history", Path(args.history), {"horizon": args.horizon})


def impute(args: argparse.Namespace) -> None:
    from pipelines.kinds.series.serving.request import ImputationRequest

    _answer(args, "impute", ImputationRequest, "table", Path(args.file), {})


def _answer(
    args: argparse.Namespace, verb: str, kind: "type[SeriesRequest]", field: str, file: Path, own: dict[str, Any]
) -> None:
    """Open the bundle, read the file, sample, write; what the HTTP service answers to the same request."""
    for option in ("--batch-size", "--threads", "--processes"):
        if (value := getattr(args, option[2:].replace("-", "_"))) < 1:
            raise ParamsError(f"{option}: must be at least 1, got {value}")
    asked = {**_own_options(args), **own}
    bundle, out = Path(args.bundle) if args.bundle else project_paths(args).bundle, Path(args.out)
    from pipelines.runtime.environment import limit_threads

    limit_threads(args.threads)
    from ddpm_core.bundle.format import read_bundle
    from pipelines.kinds import kind_of
    from pipelines.kinds.series.serving.files import read_file
    from pipelines.sampling.bundle_sampler import Sampler
    from pipelines.sampling.parallel import sample_in_parallel
    from pipelines.serving.base.request import InvalidRequest
    from pipelines.serving.base.serving import Samples

    content = read_bundle(bundle)
    serving = kind_of(content.spec.kind).serving()
    serving.check_command(verb, content.spec)
    asked["format"] = serving.format_of(out)
    read = _by_source(args, file, content.spec.about, last=verb == "forecast")
    if read is None:
        read = read_file(file, content.spec.about["columns"], args.time, args.series, args.label)
    elif args.start is not None:
        raise ParamsError(f"--start: must be left out, as section source says when the rows of {file} are, got it")
    asked["label"] = read.series if content.spec.classes or read.column is None else None
    given = {key: value for key, value in asked.items() if value is not None}
    try:
        request = kind.from_fields({field: read.table, **given})
        question = request.asked_of(content.spec)
    except InvalidRequest as error:
        raise read.named(error, field, file) from error
    sampler = Sampler(content, args.device, args.threads)
    recipe = request.recipe_for(sampler)
    data = sample_in_parallel(
        sampler,
        recipe,
        question.seeds,
        question.cond,
        processes=args.processes,
        batch_size=args.batch_size,
        progress=True,
    )
    write(out, serving, Samples(data, question.cond, question.seeds, sampler.made_by(recipe), question.about))
    log.info("%d samples of bundle %s in %s", args.samples, content.digest[:16], out)


def _by_source(args: argparse.Namespace, file: Path, about: "Mapping[str, Any]", *, last: bool) -> "Read | None":
    """The file as the project reads its own; None for a bundle by its folder, or a file that is written otherwise."""
    if args.bundle is not None:
        return None
    from pipelines.kinds.series.serving.by_source import read_by_source, source_for
    from pipelines.params import load_params

    try:
        source = load_params(project_paths(args).params).source
    except ParamsError as error:
        log.warning("%s is read without section source, for params.yaml cannot be used: %s", file, error)
        return None
    fitting = source_for(source, file, about["columns"], args.time, args.series)
    return None if fitting is None else read_by_source(fitting, about, args.label, last=last)


def _own_options(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request, checked without the bundle where their names differ from those of the options."""
    if not 1 <= args.samples <= MOST_SAMPLES:
        raise ParamsError(
            f"--samples: must be from 1 to {MOST_SAMPLES}, got {args.samples}; ask again with a later --seed"
        )
    output, levels = args.output, None
    if args.quantiles is not None:
        try:
            levels = [float(word) for word in args.quantiles.split(",")]
        except ValueError:
            raise ParamsError(f"--quantiles: must be numbers as 0.05,0.5,0.95, got {args.quantiles}") from None
        output = output or "quantiles"
    static = None
    if args.static is not None:
        try:
            static = {name: float(value) for name, _, value in (each.partition("=") for each in args.static)}
        except ValueError:
            raise ParamsError(f"--static: must be NAME=NUMBER, got {' '.join(args.static)}") from None
    names = ("seed", "start", "sampler", "steps", "guidance")
    own = {"n": args.samples, "output": output, "quantiles": levels, "static": static}
    return own | {name: getattr(args, name) for name in names}
