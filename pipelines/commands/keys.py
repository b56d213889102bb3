"""`ddpm keys`: the file of API keys that `ddpm serve --keys FILE` asks for."""

import argparse
import logging
import sys
from pathlib import Path

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, sentence

log = logging.getLogger(__name__)


def add_to(verbs: Verbs) -> None:
    text = "make, list and remove API keys of the service"
    verb = verbs.add_parser("keys", help=text, description=sentence(text))
    actions = verb.add_subparsers(dest="what", metavar="ACTION", required=True, parser_class=argparse.ArgumentParser)
    made = actions.add_parser("add", help="make a key and print it; only its salted hash is kept")
    made.add_argument("name", metavar="NAME", help="who will use it; it stands in the log")
    made.add_argument("--rate", type=float, help="requests a second (default: no limit)")
    made.add_argument("--burst", type=int, default=10, help="requests that may come at once (default: 10)")
    made.add_argument("--only", choices=["metrics"], help="a key that reads /metrics and nothing else")
    made.set_defaults(action=add)
    listed = actions.add_parser("list", help="names and rates")
    listed.set_defaults(action=show)
    removed = actions.add_parser("remove", help="remove a key; a running service refuses it from its next request on")
    removed.add_argument("name", metavar="NAME")
    removed.set_defaults(action=remove)
    for each in (made, listed, removed):
        each.add_argument("--file", metavar="FILE", type=Path, required=True, help="the file of keys")


def add(args: argparse.Namespace) -> None:
    from pipelines.serving.ops.keys import Key, keys_locked, read_keys, write_keys

    key, text = Key.new(args.name, args.rate, args.burst, args.only)
    with keys_locked(args.file):
        keys = read_keys(args.file) if args.file.exists() else []
        if any(each.name == key.name for each in keys):
            raise ParamsError(
                f"NAME: must be new in {args.file}, got {key.name}; remove that key first, or take another"
            )
        write_keys(args.file, [*keys, key])
    sys.stdout.write(text + "\n")
    log.info("this is the key of %s; it is shown only now", args.name)


def show(args: argparse.Namespace) -> None:
    from pipelines.serving.ops.keys import read_keys

    for key in read_keys(args.file):
        rate = "no limit" if key.rate is None else f"{key.rate:g} requests a second, {key.burst} at once"
        sys.stdout.write(f"{key.name}: {rate}{'; metrics only' if key.only else ''}\n")


def remove(args: argparse.Namespace) -> None:
    from pipelines.serving.ops.keys import keys_locked, read_keys, write_keys

    if not args.file.exists():
        read_keys(args.file)  # refuses it, and no lock is made beside it
    with keys_locked(args.file):
        keys = read_keys(args.file)
        kept = [key for key in keys if key.name != args.name]
        if len(kept) == len(keys):
            names = ", ".join(key.name for key in keys) or "none"
            raise ParamsError(f"NAME: must be a key of {args.file} ({names}), got {args.name}")
        write_keys(args.file, kept)
    log.info("removed %s from %s", args.name, args.file)
