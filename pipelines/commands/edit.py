"""`ddpm edit`: fill a region, vary a picture, interpolate between two seeds; with numpy and onnxruntime alone."""

import argparse
import logging
from pathlib import Path
from typing import Any

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths, sentence
from pipelines.commands.options import add_bundle, add_sampling
from pipelines.commands.sample import write
from pipelines.serving.base.limits import MOST_SAMPLES

log = logging.getLogger(__name__)

# {edit: {option of its own: value where none is given}}; a value of ... must be given
OPTIONS: dict[str, dict[str, Any]] = {
    "inpaint": {"picture": ..., "mask": ..., "resample": 1},
    "vary": {"picture": ..., "strength": 0.6, "invert": False, "picture_label": "none"},
    "interpolate": {"to_seed": ...},
}


def add_to(verbs: Verbs) -> None:
    text = "fill a region of a picture, vary a picture, or interpolate between two seeds, with a bundle"
    verb = verbs.add_parser("edit", help=text, description=sentence(text))
    verb.add_argument(
        "edit",
        choices=list(OPTIONS),
        help="inpaint: new pixels where --mask is white; vary: noise to --strength and back, or --invert; "
        "interpolate: from --seed to --to-seed",
    )
    verb.add_argument("--picture", metavar="PNG", help="inpaint, vary: a PNG of the model's size and channels")
    verb.add_argument("--mask", metavar="PNG", help="inpaint: a PNG as large, white where to fill and black where not")
    verb.add_argument(
        "--resample", type=int, metavar="TIMES", help="inpaint: repeat each step this many times (RePaint; default: 1)"
    )
    verb.add_argument("--strength", type=float, help="vary: how far towards noise, above 0 to 1 (default: 0.6)")
    verb.add_argument("--invert", action="store_true", default=None, help="vary: reversed DDIM, not random noise")
    verb.add_argument("--picture-label", metavar="LABEL", help="vary --invert: the picture's own class (default: none)")
    verb.add_argument("--to-seed", type=int, help="interpolate: the seed of the last sample")
    add_bundle(verb)
    verb.add_argument("--n", type=int, default=8, help="how many samples (default: 8)")
    verb.add_argument(
        "--label", default="none", help="a class by number or name, a list `3,1,4`, `none` or `cycle` (default: none)"
    )
    verb.add_argument(
        "--attribute", action="append", metavar="NAME=CLASS", default=[], help="what else it is told, as colour=red"
    )
    add_sampling(verb)
    verb.add_argument("--seed", type=int, default=0, help="sample i has the seed SEED + i (default: 0)")
    verb.add_argument(
        "--out", default="edit.png", help="a .png grid, an .npz, a .zip, or a folder of files (default: edit.png)"
    )
    verb.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    verb.add_argument("--threads", type=int, default=1, help="threads of one network evaluation (default: 1)")
    verb.set_defaults(action=edit)


def edit(args: argparse.Namespace) -> None:
    """Check the options, open the bundle, edit, write."""
    own, out = _own_options(args), Path(args.out)
    bundle = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from pipelines.runtime.environment import limit_threads

    limit_threads(args.threads)
    from ddpm_core.bundle.format import read_bundle
    from ddpm_core.files import sha256_file
    from ddpm_core.pseudo_classes import classes_to_ask_for
    from ddpm_core.spec import LABEL
    from pipelines.kinds import kind_of
    from pipelines.sampling.bundle_sampler import Sampler
    from pipelines.sampling.editing import Editor
    from pipelines.serving.base.labels import attributes_typed, conditions_asked, label_of, typed
    from pipelines.serving.base.serving import Samples

    content = read_bundle(bundle)
    spec = content.spec
    serving = kind_of(spec.kind).serving()
    if serving.editing is None:
        raise ParamsError(f"--bundle: must be a bundle of data that can be edited, got one of {spec.kind}")
    serving.format_of(out)
    sampler = Sampler(content, args.device, args.threads)
    attributes = attributes_typed(args.attribute)
    cond = conditions_asked(typed(args.label), args.n, spec, "--label", attributes, "--attribute {}")
    recipe = sampler.recipe(args.sampler, args.steps, args.guidance)
    editor = Editor(sampler, recipe, args.n, cond, progress=True)
    seeds = [args.seed + i for i in range(args.n)]
    files = {name: Path(own[name]) for name in ("picture", "mask") if name in own}
    if args.edit == "inpaint":
        datum, keep = serving.editing.datum(files["picture"], spec), serving.editing.kept(files["mask"], spec)
        data = editor.inpaint(datum, keep, seeds, own["resample"])
    elif args.edit == "interpolate":
        seeds = [args.seed if 2 * i < args.n - 1 else own["to_seed"] for i in range(args.n)]  # the nearer of the two
        data = editor.interpolate(args.seed, own["to_seed"])
    elif own["invert"]:
        label = label_of(own["picture_label"], classes_to_ask_for(spec), "--picture-label")
        told = {} if label is None else {LABEL: label}
        data = editor.vary_by_inversion(serving.editing.datum(files["picture"], spec), told, own["strength"])
    else:
        data = editor.vary(serving.editing.datum(files["picture"], spec), seeds, own["strength"])
    own |= {name: sha256_file(file)[:16] for name, file in files.items()}
    facts = {name: str(value) for name, value in own.items() if value is not False}
    samples = Samples(data, cond, seeds, {**sampler.made_by(recipe), "edit": args.edit, **facts})
    write(out, serving, samples)
    log.info("%d %s of bundle %s in %s", args.n, spec.kind, content.digest[:16], out)


def _own_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the edit, checked without the bundle."""
    for name in sorted({name for options in OPTIONS.values() for name in options}):
        if getattr(args, name) is not None and name not in OPTIONS[args.edit]:
            owners = " and ".join(edit for edit, options in OPTIONS.items() if name in options)
            raise ParamsError(f"{_option(name)}: belongs to {owners}, not to {args.edit}; remove it")
    given = {name: getattr(args, name) for name in OPTIONS[args.edit]}
    own = {name: default if given[name] is None else given[name] for name, default in OPTIONS[args.edit].items()}
    for name, value in own.items():
        if value is ...:
            raise ParamsError(f"{_option(name)}: must be given for {args.edit}; `ddpm edit --help` says what it takes")
    least = 2 if args.edit == "interpolate" else 1
    if not least <= args.n <= MOST_SAMPLES:
        raise ParamsError(f"--n: must be from {least} to {MOST_SAMPLES}, got {args.n}")
    for name, value in (("seed", args.seed), ("to_seed", args.to_seed or 0)):
        if value < 0 or value + args.n > 2**64:
            raise ParamsError(f"{_option(name)}: must be from 0 to 2^64 - n, got {value}")
    if args.threads < 1 or own.get("resample", 1) < 1:
        raise ParamsError(f"--threads, --resample: must be at least 1, got {args.threads} and {own.get('resample', 1)}")
    if not 0 < own.get("strength", 1) <= 1:
        raise ParamsError(f"--strength: must be above 0 and at most 1, got {own['strength']}")
    if own.get("picture_label", "none") != "none" and not own["invert"]:
        raise ParamsError("--picture-label: belongs to --invert; give both, or --label for the class to make")
    if args.edit == "interpolate" and Path(args.out).suffix in (".zip", ""):  # a file a seed, and there are but two
        raise ParamsError(f"--out: must be one file that holds all pictures in order, such as .png, got {args.out}")
    return own


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
