"""`ddpm sample`: samples from a bundle, with numpy and onnxruntime alone."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths, sentence
from pipelines.commands.options import add_bundle, add_sampling

if TYPE_CHECKING:
    from pipelines.serving.base.serving import Samples, Serving

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "sample from a bundle"
    verb = verbs.add_parser("sample", help=text, description=sentence(text))
    add_bundle(verb)
    verb.add_argument("--n", type=int, default=64, help="how many samples (default: 64)")
    verb.add_argument(
        "--label",
        default="cycle",
        help="a class by number or name, a list `3,1,4`, `none`, or `cycle` through all (default: cycle)",
    )
    verb.add_argument(
        "--attribute",
        action="append",
        metavar="NAME=CLASS",
        default=[],
        help="what else the model is told, as colour=red; a list or `cycle` as of --label; may be given again",
    )
    add_sampling(verb)
    verb.add_argument("--seed", type=int, default=0, help="sample i has the seed SEED + i (default: 0)")
    verb.add_argument(
        "--out", help="file or folder; its ending is one of the formats of these data (default: grid.png for pictures)"
    )
    verb.add_argument("--batch-size", type=int, default=64, help="samples at a time; changes none (default: 64)")
    verb.add_argument(
        "--variant",
        metavar="NAME",
        default="fp32",
        help="fp32, int8, or auto: the fastest that passed the gate; docs/variants.md (default: fp32)",
    )
    verb.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    verb.add_argument("--threads", type=int, default=1, help="threads of one network evaluation (default: 1)")
    verb.add_argument(
        "--processes",
        type=int,
        metavar="N",
        default=1,
        help="processes that share the batches and the threads, or have a GPU each; changes no sample (default: 1)",
    )
    verb.set_defaults(action=sample)


def sample(args: argparse.Namespace) -> None:
    """Open the bundle, sample, write; torch is never imported."""
    for option in ("--n", "--batch-size", "--threads", "--processes"):
        if (value := getattr(args, option[2:].replace("-", "_"))) < 1:
            raise ParamsError(f"{option}: must be at least 1, got {value}")
    if args.seed < 0 or args.seed + args.n > 2**64:
        raise ParamsError(f"--seed: must be from 0 to 2^64 - n, got {args.seed}")
    bundle = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from pipelines.runtime.environment import limit_threads

    limit_threads(args.threads)
    from ddpm_core.bundle.format import read_bundle
    from pipelines.kinds import kind_of
    from pipelines.sampling.bundle_sampler import Sampler
    from pipelines.sampling.parallel import sample_in_parallel
    from pipelines.serving.base.labels import attributes_typed, conditions_asked, typed
    from pipelines.serving.base.serving import Samples
    from pipelines.variants.index import FP32, choose

    content = read_bundle(bundle)
    serving = kind_of(content.spec.kind).serving()
    serving.check_command("sample", content.spec)
    out = Path(args.out or serving.default_out)
    serving.format_of(out)
    choice = choose(bundle, content.digest, args.variant, min(args.n, args.batch_size))
    if choice.name != FP32:
        content = read_bundle(choice.folder)
        choice.check(content.digest)
    if args.variant != FP32:
        log.info("variant %s: %s", choice.name, choice.reason)
    sampler = Sampler(content, args.device, args.threads)
    attributes = attributes_typed(args.attribute)
    cond = conditions_asked(typed(args.label), args.n, content.spec, "--label", attributes, "--attribute {}")
    seeds = [args.seed + i for i in range(args.n)]
    recipe = sampler.recipe(args.sampler, args.steps, args.guidance)
    data = sample_in_parallel(
        sampler, recipe, seeds, cond, processes=args.processes, batch_size=args.batch_size, progress=True
    )
    made_by = sampler.made_by(recipe)
    if choice.name != FP32:
        made_by = {**made_by, "variant": choice.name}
    write(out, serving, Samples(data, cond, seeds, made_by))
    log.info("%d %s of bundle %s in %s", args.n, content.spec.kind, content.digest[:16], out)


def write(out: Path, serving: "Serving", samples: "Samples") -> None:
    """One file, in the format that its ending names, or a folder with a file for each sample."""
    from ddpm_core.files import atomic_write_bytes

    format = serving.format_of(out)
    try:
        if format is not None:
            atomic_write_bytes(out, serving.encode(samples, format))
        elif serving.folder is not None:
            for name, data in serving.folder.files(samples):
                atomic_write_bytes(out / name, data)
    except OSError as error:
        raise ParamsError(f"--out: must be a place that can be written, got {out}: {error.strerror}") from error
