"""`ddpm serve`: the HTTP service over bundles."""

import argparse
import gc
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths, sentence
from pipelines.serving.ops.settings import OPTIONS, PREFIX, Settings, as_yaml, resolve
from pipelines.tracking.aliases import CHAMPION

if TYPE_CHECKING:
    from pipelines.serving.follow import Watcher
    from pipelines.serving.hosted import Models
    from pipelines.serving.service import Limits
    from pipelines.serving.sources import Source

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LIMITS: dict[str, Callable[[str], float]] = {"cost": int, "seconds": float, "body_bytes": int}


def add_to(verbs: Verbs) -> None:
    text = "serve bundles over HTTP"
    verb = verbs.add_parser("serve", help=text, description=sentence(text))
    hints = get_type_hints(Settings)
    for option in OPTIONS:
        hint, default = hints[option.name], "" if option.default in (None, []) else f" ({option.default})"
        words: dict[str, Any] = {"help": option.meaning + default}
        if hint is bool:
            words.update(action="store_true", default=None)
        elif hint == list[str]:
            words.update(action="append", help=option.meaning + "; may be repeated")
        elif get_origin(hint) is Literal:
            words.update(choices=get_args(hint))
        verb.add_argument(option.flag, **words)
    verb.add_argument("--config", metavar="FILE", help="a YAML file with the same names, as --print-config writes it")
    verb.add_argument("--print-config", action="store_true", help="print the settings that came of all, and end")
    verb.set_defaults(action=serve, when_stopped="")  # it has nothing to resume


def serve(args: argparse.Namespace) -> None:
    # pydantic would look for plugins in every package that is installed: 20 ms of a start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with _without_collections():
        settings = _settings(args)
        if args.print_config:
            sys.stdout.write(as_yaml(settings))
            return
        models, watcher = _models(args, settings)
        from pipelines.serving import server
        from pipelines.serving.app import app_of

        application = app_of(models, watcher)
    server.serve(application, settings)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Little of what a start makes is garbage, and to look for it takes a tenth of the start's time; what is there at
    the end stays, so no later collection looks at it either."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _models(args: argparse.Namespace, settings: Settings) -> "tuple[Models, Watcher]":
    """The models, open and tried, and what looks for their new versions."""
    sources = _sources(args, settings)
    bundle = Path(settings.bundle) if settings.bundle else None if sources else project_paths(args).bundle
    from pipelines.runtime.environment import limit_threads

    limit_threads(settings.threads)
    bundle = _variant(bundle, settings.variant)
    from pipelines.serving.ops import logs
    from pipelines.serving.sources import FolderSource
    from pipelines.serving.start import FAST, ONLY_MODEL, Hosting, open_models, refuse_unless_student

    logs.use(settings.log_format)
    if ONLY_MODEL in sources and bundle is not None:
        raise ParamsError(f"--model: must have another name than `{ONLY_MODEL}`, which is the bundle of --bundle")
    if settings.fast is not None:
        if FAST in sources:
            raise ParamsError(f"--model: must have another name than `{FAST}`, which is the student of --fast")
        sources[FAST] = FolderSource(Path(settings.fast))
    limits = _limits(settings, {*sources, *([ONLY_MODEL] if bundle else [])})
    cache = Path(settings.cache) if settings.cache else _home(args) / "served"
    hosting = Hosting(settings.device, settings.threads, settings.most_loaded, cache, settings.look_every)
    models, watcher = open_models(bundle, sources, limits, hosting)
    if settings.fast is not None:
        refuse_unless_student(models)
    return models, watcher


def _variant(bundle: Path | None, asked: str) -> Path | None:
    """The folder of the bundle's variant that is asked for."""
    if asked == "fp32":
        return bundle
    from pipelines.variants.index import FP32, choose

    if bundle is None:
        raise ParamsError(f"--variant: belongs to --bundle; what --model follows is served as it is, got {asked}")
    from ddpm_core.bundle.format import read_bundle

    choice = choose(bundle, read_bundle(bundle).digest, asked, batch=1)
    if choice.name != FP32:
        choice.check(read_bundle(choice.folder).digest)
    log.info("variant %s: %s", choice.name, choice.reason)
    return choice.folder


def _settings(args: argparse.Namespace) -> Settings:
    path = args.config or os.environ.get(f"{PREFIX}CONFIG")
    file: dict[str, Any] = {}
    if path:
        from pipelines.params import read_yaml

        file = read_yaml(Path(path))
    return resolve(vars(args), os.environ, file, path or "")


def _sources(args: argparse.Namespace, settings: Settings) -> "dict[str, Source]":
    """The source of each --model, by name."""
    sources: dict[str, Source] = {}
    for text in settings.model:
        name, _, where = text.partition("=")
        if not _NAME.fullmatch(name):
            raise ParamsError(f"--model: must begin with a name of letters, digits, `.`, `_` and `-`, got {text!r}")
        if name in sources:
            raise ParamsError(f"--model: each name may be given once, got {name} twice")
        sources[name] = _source(args, name, where or CHAMPION)
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


def _limits(settings: Settings, names: set[str]) -> "Callable[[str], Limits]":
    """The limits of each model: those of all, and its own --model-limit."""
    from pipelines.serving.service import Limits

    shared = Limits(settings.max_cost, settings.queue, settings.at_once, settings.timeout, None, settings.batch)
    own: dict[str, Limits] = {}
    for text in settings.model_limit:
        name, _, limit = text.partition(":")
        key, _, value = limit.partition("=")
        if name not in names or key not in _LIMITS:
            raise ParamsError(
                f"--model-limit: must be NAME:KEY=VALUE with a name of {', '.join(sorted(names))} and a key of "
                f"{', '.join(_LIMITS)}, got {text!r}"
            )
        changed: dict[str, Any] = {key: _number(text, _LIMITS[key], value)}
        own[name] = replace(own.get(name, shared), **changed)
    return lambda name: own.get(name, shared)


def _number(text: str, kind: Callable[[str], float], value: str) -> float:
    try:
        number = kind(value)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise ParamsError(f"--model-limit: must have a value above 0, got {text!r}")
    return number
