"""`ddpm serve`: the HTTP service over a bundle."""

import argparse
from pathlib import Path

from pipelines.commands.common import Verbs, project_paths


def add_to(verbs: Verbs) -> None:
    text = "serve a bundle over HTTP: POST /v1/images"
    verb = verbs.add_parser("serve", help=text, description=text.capitalize() + ".")
    verb.add_argument("--bundle", metavar="FOLDER", help="the bundle (default: the one that the project just built)")
    verb.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    verb.add_argument("--port", type=int, default=8000, help="port (default: 8000)")
    verb.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    verb.add_argument("--threads", type=int, default=1, help="threads of one network evaluation (default: 1)")
    verb.set_defaults(action=serve)


def serve(args: argparse.Namespace) -> None:
    bundle = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from pipelines.serving.app import serve_bundle

    serve_bundle(bundle, host=args.host, port=args.port, device=args.device, threads=args.threads)
