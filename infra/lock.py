"""Resolve the hash locks: `make lock`. `--upgrade` takes newer versions, else what is locked stays where it can.

`uv pip compile --universal` writes one file for every platform and no host names (`uv.lock` would hold them).
The development lock is resolved first and the others take their versions from it, so all agree.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

LOCKS = {  # {extras: lock}
    "dev": "requirements-dev.lock",
    "pipeline": "requirements.lock",
    "serve": "requirements-serve.lock",
    "serve-gpu": "requirements-serve-gpu.lock",
    "peers": "requirements-peers.lock",
    "dev+dask": "requirements-dask.lock",
}
TOOLS = {"infra/mutmut.in": "requirements-mutmut.lock"}  # used beside the environment, and no part of the project
APART = {"infra/peers-series.in": "requirements-peers-series.lock"}  # no package in common with the project


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true")
    parser.add_argument("--uv", default=default_uv())
    args = parser.parse_args()
    os.chdir(Path(__file__).resolve().parent.parent)
    for extras, lock in LOCKS.items():
        if extras != "dev":  # what stands in the output file is preferred
            shutil.copyfile(LOCKS["dev"], lock)
        # infra/build.in: what builds this project itself
        wanted = [word for extra in extras.split("+") for word in ("--extra", extra)]
        wanted += ["pyproject.toml", "infra/build.in"]
        compile_lock(args.uv, wanted, lock, upgrade=args.upgrade and extras == "dev")
    for source, lock in TOOLS.items():
        compile_lock(args.uv, [source, "--constraints", LOCKS["dev"]], lock, upgrade=args.upgrade)
    for source, lock in APART.items():
        compile_lock(args.uv, [source], lock, upgrade=args.upgrade)
    return 0


def compile_lock(uv: str, wanted: list[str], lock: str, *, upgrade: bool) -> None:
    command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.11"]
    command += [*wanted, "--output-file", lock, *(["--upgrade"] if upgrade else [])]
    subprocess.run(command, check=True, env={**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make lock"})


def default_uv() -> str:
    """The uv that `make install` put beside this environment, else the one on PATH."""
    own = Path(sys.prefix) / "uv" / "bin" / "uv"
    return str(own) if own.exists() else "uv"


if __name__ == "__main__":
    sys.exit(main())
