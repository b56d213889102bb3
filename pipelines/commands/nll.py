"""`ddpm nll`: how many bits the trained network needs for data it has not seen, term by term."""

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ddpm_core.errors import DataError, ParamsError
from pipelines.commands.common import Verbs, checked_params, project_paths, sentence

if TYPE_CHECKING:
    from ddpm_core.likelihood.nll import Data
    from ddpm_core.spec import DataSpec
    from pipelines.paths import Paths

log = logging.getLogger(__name__)

_ODE_STEPS = 50
_LEVELS = 100


def add_to(verbs: Verbs) -> None:
    text = "bits per dimension of held-out data with levels: the variational bound term by term, and its plot over t"
    verb = verbs.add_parser("nll", help=text, description=sentence(text))
    verb.add_argument("--weights", metavar="PATH", help="weights (default: those that the project just trained)")
    verb.add_argument("--split", default="test", help="of data/shards: test or train (default: test)")
    verb.add_argument("--n", type=int, default=500, help="examples, drawn from the split at random (default: 500)")
    verb.add_argument(
        "--levels",
        metavar="K",
        help=f"levels of noise an example: `all`, or so many, for an estimate without bias (default: {_LEVELS})",
    )
    verb.add_argument(
        "--ode",
        type=int,
        nargs="?",
        const=_ODE_STEPS,
        metavar="STEPS",
        help=f"also the likelihood by the probability-flow ODE, in this many steps (default: {_ODE_STEPS})",
    )
    verb.add_argument("--probes", type=int, default=2, help="random directions of the ODE's divergence (default: 2)")
    verb.add_argument("--seed", type=int, default=0, help="of examples, levels and noise (default: 0)")
    verb.add_argument("--out", metavar="FOLDER", help="for terms.csv, terms.png and nll.json (default: out/nll)")
    verb.set_defaults(action=nll)


@dataclass(frozen=True)
class NllOptions:
    """The checked options. `levels` None means all, `some` the default number or all there are."""

    weights: Path
    split: str
    n: int
    levels: int | Literal["some"] | None
    ode: int | None
    probes: int
    seed: int
    out: Path


def nll(args: argparse.Namespace) -> None:
    """Read weights and data, measure with progress, print the table, write the plot."""
    paths = project_paths(args)
    asked = _asked(args, paths)
    params = checked_params(paths, computes=True)
    runtime = params.runtime
    from ddpm_core.device import laid_out, make_repeatable, pick_device
    from ddpm_core.likelihood.nll import bound_calls, ode_calls, ode_table
    from pipelines.commands.nll_report import rows, table_text, write
    from pipelines.runtime.progress import Progress
    from pipelines.runtime.threads import in_use
    from pipelines.training.weights_file import read_weights

    make_repeatable(in_use(runtime.threads))
    device = pick_device(runtime.device)
    net, _, spec, diffusion = read_weights(asked.weights, None if args.weights else params.export.ema)
    net = laid_out(net.requires_grad_(False), device)
    if spec.levels is None:
        raise ParamsError(
            f"{asked.weights}: must be trained on data with levels, which a number of bits can tell apart, got "
            f"{spec.kind} without levels"
        )
    parameterisation = diffusion.parameterisation()
    T = parameterisation.schedule.T
    levels = min(_LEVELS, T) if asked.levels == "some" else asked.levels
    if levels is not None and not min(2, T) <= levels <= T:
        raise ParamsError(f"--levels: must be `all`, or from {min(2, T)} to the schedule's {T}, got {levels}")
    if asked.ode and parameterisation.schedule.one_level:
        raise ParamsError("--ode: needs a model with levels of noise between which there is an ODE; leave it out")
    data = _read(paths, asked, spec, device=device)
    total = bound_calls(data, T, levels) + (ode_calls(data, asked.ode) if asked.ode else 0)
    with Progress(total, "nll", "calls", quiet=args.quiet) as bar:

        def on_call() -> None:
            bar.update()

        bound = diffusion.bound(net, data, levels=levels, seed=asked.seed, on_call=on_call)
        ode = None
        if asked.ode:
            ode = ode_table(
                net, parameterisation, data, steps=asked.ode, probes=asked.probes, seed=asked.seed, on_call=on_call
            )
    looked_at = f"{T if levels is None else levels} of {T} levels"
    heading = f"{len(data)} {spec.kind} of split {asked.split}, {looked_at} each, seed {asked.seed}"
    sys.stdout.write(table_text(heading, rows(bound, ode)))
    write(asked.out, heading, spec.kind, bound, ode)
    log.info("the terms over t: %s and terms.csv beside it", asked.out / "terms.png")


def _asked(args: argparse.Namespace, paths: "Paths") -> NllOptions:
    for option, value in (("--n", args.n), ("--probes", args.probes), ("--ode", 1 if args.ode is None else args.ode)):
        if value < 1:
            raise ParamsError(f"{option}: must be at least 1, got {value}")
    if not 0 <= args.seed < 2**64:
        raise ParamsError(f"--seed: must be from 0 to 2^64 - 1, got {args.seed}")
    levels: int | Literal["some"] | None = "some" if args.levels is None else None
    if args.levels not in (None, "all"):
        if not args.levels.isdecimal():
            raise ParamsError(f"--levels: must be `all` or a whole number, got {args.levels!r}")
        levels = int(args.levels)
    weights = Path(args.weights) if args.weights else paths.weights
    out = Path(args.out) if args.out else paths.nll
    return NllOptions(weights, args.split, args.n, levels, args.ode, args.probes, args.seed, out)


def _read(paths: "Paths", asked: NllOptions, spec: "DataSpec", *, device: object) -> "Data":
    """n examples of the split that fit the network."""
    from ddpm_core.diffusion.noise import Purpose, generator
    from ddpm_core.likelihood.nll import Data
    from pipelines.shards.archive import read_index, read_split

    index = read_index(paths.shards)
    _refuse_other_data(asked.weights, spec, index.spec)
    if asked.split not in index.splits:
        raise ParamsError(f"--split: must be one of {', '.join(sorted(index.splits))}, got {asked.split!r}")
    count = index.count(asked.split)
    if asked.n > count:
        raise ParamsError(f"--n: must be from 1 to the {count} {spec.kind} of split {asked.split}, got {asked.n}")
    split = read_split(paths.shards, asked.split)
    order = generator(asked.seed, Purpose.EVALUATE).permutation(count)
    chosen = sorted(order[: asked.n].tolist())
    cond = {name: split.cond[name][chosen] for name in spec.conditions}
    return Data.encoded(spec, split.x[chosen], cond, chosen, device)  # type: ignore[arg-type]


def _refuse_other_data(weights: Path, own: "DataSpec", found: "DataSpec") -> None:
    """The bits of data mean something only for a network of such data."""
    mend = "give the --project that it was trained in, or other --weights"
    for what, ours, theirs in (
        ("kind", own.kind, found.kind),
        ("shape", own.shape, found.shape),
        ("range", own.range, found.range),
        ("levels", own.levels, found.levels),
    ):
        if ours != theirs:
            raise DataError(f"{weights}: trained on data of {what} {ours}, but data/shards hold {theirs}; {mend}")
    if own.classes and own.classes != found.classes:
        raise DataError(
            f"{weights}: trained with labels of the {len(own.classes)} classes {_few(own.classes)}, but data/shards "
            f"hold {len(found.classes)}: {_few(found.classes)}; {mend}"
        )


def _few(names: tuple[str, ...]) -> str:
    return (", ".join(names[:5]) + (", ..." if len(names) > 5 else "")) or "none"
