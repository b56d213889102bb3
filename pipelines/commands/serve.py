"""`ddpm serve`: the HTTP service over a bundle."""

import argparse
import math
from pathlib import Path

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths


def add_to(verbs: Verbs) -> None:
    text = "serve a bundle over HTTP"
    verb = verbs.add_parser("serve", help=text, description=text.capitalize() + ".")
    verb.add_argument("--bundle", metavar="FOLDER", help="the bundle (default: the one that the project just built)")
    verb.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    verb.add_argument("--port", type=int, default=8000, help="port (default: 8000)")
    verb.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    verb.add_argument("--threads", type=int, default=1, help="threads of one network evaluation (default: 1)")
    verb.add_argument(
        "--max-cost",
        type=int,
        help="most network evaluations of single samples a request may ask for (default: 10,000; of series 1,000,000)",
    )
    verb.add_argument(
        "--at-once",
        type=int,
        default=1,
        help="requests that are sampled at the same time, each with --threads (default: 1)",
    )
    verb.add_argument("--queue", type=int, default=16, help="requests that may wait; further ones get 429")
    verb.add_argument("--timeout", type=float, default=120.0, help="seconds that a request may take (default: 120)")
    verb.set_defaults(action=serve)


def serve(args: argparse.Namespace) -> None:
    for option in ("--threads", "--max-cost", "--at-once", "--queue"):
        if (value := getattr(args, option[2:].replace("-", "_"))) is not None and value < 1:
            raise ParamsError(f"{option}: must be at least 1, got {value}")
    if not 0 < args.timeout < math.inf:
        raise ParamsError(f"--timeout: must be above 0 seconds, got {args.timeout:g}")
    if not 0 <= args.port <= 65535:
        raise ParamsError(f"--port: must be from 0 to 65535, got {args.port}")
    bundle = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from pipelines.runtime.environment import limit_threads

    limit_threads(args.threads)
    from pipelines.serving.app import serve_bundle
    from pipelines.serving.service import Limits

    limits = Limits(cost=args.max_cost, waiting=args.queue, at_once=args.at_once, seconds=args.timeout, body_bytes=None)
    serve_bundle(bundle, host=args.host, port=args.port, device=args.device, threads=args.threads, limits=limits)
