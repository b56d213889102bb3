"""`ddpm bundle`: a bundle in another form, for a program that is not this one."""

import argparse
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ExportError, ParamsError
from pipelines.commands.common import Verbs, project_paths, sentence
from pipelines.commands.options import add_bundle, add_sampling

if TYPE_CHECKING:
    from pipelines.sampling.bundle_sampler import Sampler
    from pipelines.sampling.recipe import Recipe

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODEL, _BATCH = "ddpm", 64
_DIFFERENCE = 1e-4
"""Of float32 between two libraries, and of angles of up to the number of levels."""
# Which forms an option belongs to.
_OWN = {
    "sampler": ("onnx", "triton"),
    "steps": ("onnx", "triton"),
    "guidance": ("onnx", "triton"),
    "name": ("triton",),
    "max_batch": ("triton",),
}


def add_to(verbs: Verbs) -> None:
    text = (
        "write a bundle in another form: the sampler as one ONNX file, a model repository for Triton, or for diffusers"
    )
    verb = verbs.add_parser("bundle", help=text, description=sentence(text))
    verb.add_argument(
        "form",
        choices=["onnx", "triton", "diffusers"],
        help="onnx: one graph from noise to samples, the sampling loop inside; triton: this graph and the network's, "
        "as a model repository of Triton Inference Server; diffusers: a DDPMPipeline's folder",
    )
    verb.add_argument("out", metavar="OUT", help="the file to write, OUT.onnx, or the folder")
    add_bundle(verb)
    add_sampling(verb)
    verb.add_argument(
        "--name", help=f"triton: name of the sampler; its network is NAME.network there (default: {_MODEL})"
    )
    verb.add_argument(
        "--max-batch", type=int, metavar="N", help=f"triton: most data that it may put together (default: {_BATCH})"
    )
    verb.set_defaults(action=bundle)


def bundle(args: argparse.Namespace) -> None:
    """Write the other form, which is run beside the bundle first."""
    out = Path(args.out)
    _check(args, out)
    folder = Path(args.bundle) if args.bundle else project_paths(args).bundle
    (_diffusers if args.form == "diffusers" else _one_graph)(args, folder, out)


def _one_graph(args: argparse.Namespace, folder: Path, out: Path) -> None:
    from pipelines.runtime.environment import limit_threads

    limit_threads(1)
    from ddpm_core.files import atomic_write_bytes
    from pipelines.sampling.bundle_sampler import Sampler

    sampler = Sampler.open(folder, "cpu")
    recipe = sampler.recipe(args.sampler, args.steps, args.guidance)
    graph, found = _graph(args.form, sampler, recipe)
    if args.form == "onnx":
        atomic_write_bytes(out, graph)
    else:
        from pipelines.serving.inference_protocol.triton_repository import triton_models, write_repository

        name, most = args.name or _MODEL, args.max_batch or _BATCH
        models = triton_models(sampler.bundle, recipe, graph, name, most)
        write_repository(out, models)
        for model in models:
            batch = f"batches of up to {model.most}" if model.most else "requests one by one"
            log.info("model %s, %s: %s", model.name, batch, out / model.name)
    log.info(
        "sampler %s of %d steps, %d bytes, difference %g: %s",
        recipe.plan.kind,
        recipe.sampler.steps,
        len(graph),
        found,
        out,
    )


def _check(args: argparse.Namespace, out: Path) -> None:
    for option, forms in _OWN.items():
        if getattr(args, option) is not None and args.form not in forms:
            owners = " and ".join(f"`ddpm bundle {form}`" for form in forms)
            raise ParamsError(f"--{option.replace('_', '-')}: belongs to {owners}; leave it out")
    if args.form == "onnx" and out.suffix != ".onnx":
        raise ParamsError(f"OUT.onnx: must end in .onnx, got {args.out}")
    if args.form != "onnx" and out.exists() and not out.is_dir():
        raise ParamsError(f"OUT: must be a folder, or not be there yet, got {args.out}")
    if args.name is not None and not _NAME.fullmatch(args.name):
        raise ParamsError(f"--name: must be of letters, digits, `.`, `_` and `-`, at most 100, got {args.name!r}")
    if args.max_batch is not None and args.max_batch < 1:
        raise ParamsError(f"--max-batch: must be at least 1, got {args.max_batch}")


def _graph(form: str, sampler: "Sampler", recipe: "Recipe") -> tuple[bytes, float]:
    """The sampler's graph, and how far its samples are from the sampler's; ExportError where that is too far."""
    try:
        from pipelines.sampling.one_graph import difference, sampler_graph
    except ModuleNotFoundError as error:
        raise ParamsError(
            f"ddpm bundle {form}: needs the package {error.name}; install it with `make install`"
        ) from error
    graph = sampler_graph(sampler.bundle, recipe)
    allowed = 1.0 if sampler.bundle.spec.levels else 1e-3
    found = difference(sampler, recipe, graph)
    if found > allowed:
        raise ExportError(f"the graph must sample as the bundle does, to {allowed:g}, got a difference of {found:g}")
    return graph, found


def _diffusers(args: argparse.Namespace, folder: Path, out: Path) -> None:
    from pipelines.runtime.environment import limit_threads

    limit_threads(1)
    import numpy as np

    from ddpm_core.diffusion.noise import step_noise
    from pipelines.interchange.diffusers_out import equivalent, write_diffusers
    from pipelines.sampling.bundle_sampler import Sampler

    sampler = Sampler.open(folder, "cpu")
    content = sampler.bundle
    network = equivalent(content)
    x, t = step_noise(range(3), 0, content.spec.shape), np.linspace(1, content.schedule.T, 3).round().astype(np.float32)
    cond = content.spec.conditions_for({"label": [0, 1, 0]} if content.spec.classes else {}, 3)
    expected = sampler.network(x, t, cond)
    found = float(np.abs(network.answer(content, x, t, cond) - expected).max() / max(1.0, np.abs(expected).max()))
    if not found <= _DIFFERENCE:
        raise ExportError(
            f"the network must answer as the bundle does, to {_DIFFERENCE:g}, got a difference of {found:g}"
        )
    write_diffusers(content, network, out)
    log.info("bundle %s as UNet2DModel and DDPMScheduler, difference %.1e: %s", content.digest[:16], found, out)
