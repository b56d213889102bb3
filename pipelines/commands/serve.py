"""`ddpm serve`: the HTTP service over bundles."""

import argparse
import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths

if TYPE_CHECKING:
    from pipelines.serving.service import Limits
    from pipelines.serving.sources import Source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CHAMPION = "champion"
_LIMITS = {"cost": int, "seconds": float, "body_bytes": int}


def add_to(verbs: Verbs) -> None:
    text = "serve bundles over HTTP"
    verb = verbs.add_parser("serve", help=text, description=text.capitalize() + ".")
    verb.add_argument(
        "--bundle", metavar="FOLDER", help="a bundle that stays (default, without --model: the one the project built)"
    )
    verb.add_argument(
        "--model",
        metavar="NAME[=WHERE]",
        action="append",
        default=[],
        help="a model that is followed: WHERE is an alias of the registered model NAME (default: champion), or a "
        "folder, written with a slash; a new bundle there is verified, tried and then served; may be repeated",
    )
    verb.add_argument(
        "--look-every", metavar="SECONDS", type=float, default=10.0, help="how often to look for one (default: 10)"
    )
    verb.add_argument(
        "--most-loaded", metavar="N", type=int, help="most models in memory; the least recently used one is unloaded"
    )
    verb.add_argument("--cache", metavar="FOLDER", help="where bundles of --model are kept (default: in the state)")
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
        "--model-limit",
        metavar="NAME:KEY=VALUE",
        action="append",
        default=[],
        help="a limit of one model: cost, seconds or body_bytes; may be repeated",
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
    _check(args)
    sources = _sources(args)
    bundle = Path(args.bundle) if args.bundle else None if sources else project_paths(args).bundle
    from pipelines.runtime.environment import limit_threads

    limit_threads(args.threads)
    from pipelines.serving import app
    from pipelines.serving.start import ONLY_MODEL, Hosting, open_models

    if ONLY_MODEL in sources and bundle is not None:
        raise ParamsError(f"--model: must have another name than `{ONLY_MODEL}`, which is the bundle of --bundle")
    limits = _limits(args, {*sources, *([ONLY_MODEL] if bundle else [])})
    cache = Path(args.cache) if args.cache else _home(args) / "served"
    hosting = Hosting(args.device, args.threads, args.most_loaded, cache, args.look_every)
    models, watcher = open_models(bundle, sources, limits, hosting)
    app.serve(app.app_of(models, watcher), host=args.host, port=args.port)


def _check(args: argparse.Namespace) -> None:
    for option in ("--threads", "--max-cost", "--at-once", "--queue", "--most-loaded"):
        if (value := getattr(args, option[2:].replace("-", "_"))) is not None and value < 1:
            raise ParamsError(f"{option}: must be at least 1, got {value}")
    for option in ("--timeout", "--look-every"):
        if not 0 < (value := getattr(args, option[2:].replace("-", "_"))) < math.inf:
            raise ParamsError(f"{option}: must be above 0 seconds, got {value:g}")
    if not 0 <= args.port <= 65535:
        raise ParamsError(f"--port: must be from 0 to 65535, got {args.port}")


def _sources(args: argparse.Namespace) -> "dict[str, Source]":
    """The source of each --model, by name."""
    sources: dict[str, Source] = {}
    for text in args.model:
        name, _, where = text.partition("=")
        if not _NAME.fullmatch(name):
            raise ParamsError(f"--model: must begin with a name of letters, digits, `.`, `_` and `-`, got {text!r}")
        if name in sources:
            raise ParamsError(f"--model: each name may be given once, got {name} twice")
        sources[name] = _source(args, name, where or _CHAMPION)
    return sources


def _source(args: argparse.Namespace, name: str, where: str) -> "Source":
    if "/" in where:
        from pipelines.serving.sources import FolderSource

        return FolderSource(Path(where))
    from pipelines.release.registry_source import RegistrySource

    return RegistrySource(_home(args), name, where)


def _home(args: argparse.Namespace) -> Path:
    """The state folder: the project's, or outside of projects $DDPM_HOME or the user's cache."""
    try:
        return project_paths(args).home
    except ParamsError:
        if args.project is not None:
            raise
        return Path(os.environ.get("DDPM_HOME") or Path.home() / ".cache" / "ddpm").resolve()


def _limits(args: argparse.Namespace, names: set[str]) -> "Callable[[str], Limits]":
    """The limits of each model: those of all, and its own --model-limit."""
    from pipelines.serving.service import Limits

    shared = Limits(cost=args.max_cost, waiting=args.queue, at_once=args.at_once, seconds=args.timeout, body_bytes=None)
    own: dict[str, Limits] = {}
    for text in args.model_limit:
        name, _, limit = text.partition(":")
        key, _, value = limit.partition("=")
        if name not in names or key not in _LIMITS:
            raise ParamsError(
                f"--model-limit: must be NAME:KEY=VALUE with a name of {', '.join(sorted(names))} and a key of "
                f"{', '.join(_LIMITS)}, got {text!r}"
            )
        own[name] = replace(own.get(name, shared), **{key: _number(text, _LIMITS[key], value)})
    return lambda name: own.get(name, shared)


def _number(text: str, kind: Callable[[str], float], value: str) -> float:
    try:
        number = kind(value)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise ParamsError(f"--model-limit: must have a value above 0, got {text!r}")
    return number
