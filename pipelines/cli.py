"""`ddpm VERB`: each verb is a module of `pipelines.commands`, and imports what it needs when it runs."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ddpm_core.errors import DdpmError
from pipelines.runtime.disk import told
from pipelines.runtime.environment import quieten
from pipelines.runtime.lifetime import end_quickly, end_with_owner
from pipelines.runtime.signals import Terminated, ending_on_sigterm

log = logging.getLogger(__name__)

MODULES = (
    *("run", "flow", "stages", "code", "params", "sample", "edit", "series", "nll", "tune", "distil", "variants"),
    *("compare", "serve", "page", "import_model", "bundle", "promote", "rollback", "history", "explain", "data", "ui"),
    *("init", "keys", "doctor"),
)
"""Of `pipelines.commands`, in the order of the help."""

_RESUMES = "; what was written is complete, run again to resume"

EPILOG = """exit codes: 0 done, 1 error, 2 bad parameters or usage, 3 gate failed, 4 data contract failed,
5 non-finite loss, 75 temporary failure: retry, 130 interrupted, 143 stopped by a signal after saving"""


class _Parser(argparse.ArgumentParser):
    """Options that may come before or after the command."""

    def add_shared(self, *, suppress: bool) -> None:
        default = argparse.SUPPRESS
        group = self.add_argument_group("for every command")
        group.add_argument(
            "--project",
            metavar="FOLDER",
            default=default if suppress else None,
            help="where params.yaml and dvc.yaml are (default: here, or the nearest folder above that has them)",
        )
        group.add_argument("--quiet", action="store_true", default=default if suppress else False, help="warnings only")
        group.add_argument(
            "--debug", action="store_true", default=default if suppress else False, help="show tracebacks and details"
        )


def parser(module: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command line; that of the verbs of one module is made sooner."""
    top = _Parser(
        prog="ddpm",
        description="Diffusion models: from data to a judged, exported and served model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_shared(suppress=False)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for name in MODULES if module is None else (module,):
        import_module(f"pipelines.commands.{name}").add_to(verbs)
    for verb in dict.fromkeys(verbs.choices.values()):
        verb.add_shared(suppress=True)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an expected error is one message and its own exit code."""
    end_quickly()
    argv = sys.argv[1:] if argv is None else argv
    args = parser(argv[0] if argv and argv[0] in MODULES else None).parse_args(argv)
    after = getattr(args, "when_stopped", _RESUMES)
    quieten()
    configure_logging(quiet=args.quiet, debug=args.debug)
    try:
        with ending_on_sigterm():
            end_with_owner()
            return int(args.action(args) or 0)
    except DdpmError as error:
        if args.debug:
            log.exception("%s", type(error).__name__)
        sys.stderr.write(f"ddpm {args.verb}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"ddpm {args.verb}: interrupted{after}\n")
        return 130
    except Terminated:
        sys.stderr.write(f"ddpm {args.verb}: stopped by SIGTERM{after}\n")
        return 143
    except BrokenPipeError:  # the reader of our output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if args.debug or (text := told(error)) is None:
            raise
        sys.stderr.write(f"ddpm {args.verb}: {text}\n")
        return 1


def configure_logging(*, quiet: bool, debug: bool) -> None:
    """Log our own messages to stderr, plain; those of other packages from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if debug else logging.WARNING)
    level = logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO
    for ours in ("ddpm_core", "pipelines"):
        logging.getLogger(ours).setLevel(level)


class _Plain(logging.Formatter):
    """The message alone; warnings and errors with their level before it."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


if __name__ == "__main__":
    sys.exit(main())
