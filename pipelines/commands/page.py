"""`ddpm page`: one HTML file that samples from a bundle in the browser, without a server or a network."""

import argparse
import logging
from pathlib import Path

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths, sentence
from pipelines.commands.options import add_bundle

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "write one HTML file that samples from a bundle in the browser, without a server"
    verb = verbs.add_parser("page", help=text, description=sentence(text))
    verb.add_argument("out", metavar="OUT.html", help="the file to write")
    add_bundle(verb)
    verb.add_argument(
        "--runtime",
        metavar="FOLDER",
        help="the npm package onnxruntime-web (default: infra/page/node_modules/onnxruntime-web, which "
        "`make page-runtime` installs)",
    )
    verb.set_defaults(action=page)


def page(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if out.suffix != ".html":
        raise ParamsError(f"OUT.html: must end in .html, got {args.out}")
    bundle = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from ddpm_core.files import atomic_write_bytes
    from pipelines.sampling.bundle_sampler import Sampler
    from pipelines.serving.page.one_file import RUNTIME, one_file

    sampler = Sampler.open(bundle, "cpu")
    text = one_file(sampler, Path(args.runtime) if args.runtime else RUNTIME).encode()
    atomic_write_bytes(out, text)
    log.info("bundle %s as a page: %.1f MB in %s", sampler.bundle.digest[:16], len(text) / 1e6, out)
