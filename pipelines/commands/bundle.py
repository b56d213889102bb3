"""`ddpm bundle`: a bundle in another form, for a program that is not this one."""

import argparse
import logging
from pathlib import Path

from ddpm_core.errors import ExportError, ParamsError
from pipelines.commands.common import Verbs, project_paths

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "write a bundle in another form: the whole sampler as one ONNX file"
    verb = verbs.add_parser("bundle", help=text, description=text.capitalize() + ".")
    verb.add_argument("form", choices=["onnx"], help="onnx: one graph from noise to samples, the sampling loop inside")
    verb.add_argument("out", metavar="OUT.onnx", help="the file to write")
    verb.add_argument("--bundle", metavar="FOLDER", help="the bundle (default: the one that the project just built)")
    verb.add_argument("--sampler", metavar="KIND", help="as ddim or unipc_2; docs/samplers.md (default: the bundle's)")
    verb.add_argument("--steps", type=int, help="steps from noise to a sample (default: the bundle's)")
    verb.add_argument("--guidance", type=float, help="weight of classifier-free guidance, 0 = off (default: bundle's)")
    verb.set_defaults(action=bundle)


def bundle(args: argparse.Namespace) -> None:
    """Write the graph; it is run beside the sampler first."""
    out = Path(args.out)
    if out.suffix != ".onnx":
        raise ParamsError(f"OUT.onnx: must end in .onnx, got {args.out}")
    folder = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from pipelines.runtime.environment import limit_threads

    limit_threads(1)
    from ddpm_core.files import atomic_write_bytes
    from pipelines.sampling.bundle_sampler import Sampler

    try:
        from pipelines.sampling.one_graph import difference, sampler_graph
    except ModuleNotFoundError as error:
        raise ParamsError(
            f"ddpm bundle onnx: needs the package {error.name}; install it with `make install`"
        ) from error
    sampler = Sampler.open(folder, "cpu")
    recipe = sampler.recipe(args.sampler, args.steps, args.guidance)
    graph = sampler_graph(sampler.bundle, recipe)
    allowed = 1.0 if sampler.bundle.spec.levels else 1e-3
    found = difference(sampler, recipe, graph)
    if found > allowed:
        raise ExportError(f"the graph must sample as the bundle does, to {allowed:g}, got a difference of {found:g}")
    atomic_write_bytes(out, graph)
    log.info(
        "sampler %s of %d steps, %d bytes, difference %g: %s",
        recipe.plan.kind,
        recipe.sampler.steps,
        len(graph),
        found,
        out,
    )
