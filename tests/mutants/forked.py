"""A process that has imported the heavy libraries once and runs each pytest in a fork of itself, seconds sooner.

It reads a line of JSON for each run, {"args": [...], "seconds": ...}, and answers with one, {"code", "output"}; code is
null where the time was up. None of this project's own modules may be loaded here: a fork must read them as they lie.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

OWN = ("ddpm_core", "pipelines", "tests")
HEAVY = (
    "pytest_timeout",
    "_hypothesis_pytestplugin",
    "PIL.Image",
    "onnx",
    "pydantic",
    "safetensors",
    "webdataset",
    "mlflow",
)
POLL = 0.02


def main() -> int:
    preload()
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.NamedTemporaryFile("w+", suffix=".txt") as output:
            child = os.fork()
            if child == 0:
                run_pytest(asked["args"], output.fileno())
            code = waited(child, asked["seconds"])
            text = Path(output.name).read_text(encoding="utf-8", errors="replace")
        sys.stdout.write(json.dumps({"code": code, "output": text}) + "\n")
        sys.stdout.flush()
    return 0


def preload() -> None:
    """What most tests import, and what takes long to."""
    import hypothesis.strategies
    import numpy
    import pytest

    for name in HEAVY:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    with contextlib.suppress(ModuleNotFoundError):  # the numbers room has tests without it
        import torch

        torch.testing.assert_close(torch.zeros(1), torch.zeros(1))  # loads more when it is first used
        importlib.import_module("torch._dynamo")  # which the first optimiser imports
    del hypothesis, numpy, pytest
    loaded = [name for name in sys.modules if name.split(".")[0] in OWN]
    if loaded:
        raise RuntimeError(f"no module of this project may be loaded before the fork, found {', '.join(loaded)}")


def run_pytest(args: list[str], output: int) -> None:
    """In the fork: never returns."""
    code = 3
    try:
        os.setsid()
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.path.insert(0, os.getcwd())
        import pytest

        code = int(pytest.main(args))
    finally:
        sys.stdout.flush()
        os._exit(code)


def waited(child: int, seconds: float) -> int | None:
    """The exit code, or None after so many seconds, when the child and all it started are killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    sys.exit(main())
