"""Make the virtual environment from a hash lock: `make install`. Runs on a bare Python 3; needs nothing installed.

A stamp in the environment names the digest of the lock that it was made from; while they agree there is nothing to do.
The environment for tests holds all that the one for running holds, so it serves both.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
STAMP = "ddpm-locks"
SUPERSETS = {
    "requirements-serve.lock": (
        "requirements-serve-gpu.lock",
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-peers.lock",
    ),
    "requirements-serve-gpu.lock": ("requirements.lock", "requirements-dev.lock", "requirements-peers.lock"),
    "requirements.lock": ("requirements-dev.lock", "requirements-peers.lock"),
    "requirements-dev.lock": ("requirements-peers.lock",),
    "requirements-peers.lock": (),
}

SERVE_FREE_GB = {"requirements-serve.lock": 1.0, "requirements-serve-gpu.lock": 4.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock")
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    parser.add_argument("--free-gb", type=float, default=9.0)
    args = parser.parse_args()
    os.chdir(Path(__file__).resolve().parent.parent)
    if is_installed(args.venv, args.lock):
        return 0
    check_python()
    check_disk(args.venv, SERVE_FREE_GB.get(args.lock, args.free_gb))
    began = time.monotonic()
    install(args.venv, args.lock)
    say(f"installed {args.lock} into {args.venv} in {time.monotonic() - began:.0f} s")
    return 0


def is_installed(venv: Path, lock: str) -> bool:
    """Whether the environment was made from this lock, or from one that holds all of it, as they are now."""
    stamp = venv / STAMP
    if not (venv / "bin" / "ddpm").exists() or not stamp.is_file():
        return False
    made_from = stamp.read_text(encoding="utf-8").split()
    return any(digest(Path(name)) in made_from for name in (lock, *SUPERSETS[lock]))


def digest(lock: Path) -> str:
    """What the environment depends on: the lock and the project's own metadata."""
    return hashlib.sha256(lock.read_bytes() + Path("pyproject.toml").read_bytes()).hexdigest()


def check_python() -> None:
    here = sys.version_info[:2]
    if not OLDEST <= here <= NEWEST:
        stop(
            f"Python must be 3.{OLDEST[1]} to 3.{NEWEST[1]}, this is {here[0]}.{here[1]} ({sys.executable}); "
            f"name another with: make PYTHON=python3.{NEWEST[1]} run"
        )


def check_disk(venv: Path, needed: float) -> None:
    free = shutil.disk_usage(venv.resolve().parent).free / 1e9
    if free < needed:
        stop(
            f"the environment needs {needed:.0f} GB of free disk in {venv.resolve().parent}, there are {free:.1f}; "
            "free some, or put it elsewhere with: make VENV=/big/disk/venv run"
        )


def install(venv: Path, lock: str) -> None:
    """The locked packages by uv, or by pip where uv cannot be had; then this project itself, without its own needs."""
    python = venv / "bin" / "python"
    if not python.exists():
        say(f"making {venv} with Python {sys.version.split()[0]}")
        call([sys.executable, "-m", "venv", str(venv)])
    if subprocess.run([str(python), "-c", "import pip"], stderr=subprocess.DEVNULL).returncode != 0:
        call([str(python), "-m", "ensurepip"])  # somebody else made it, without pip
    say(f"installing {lock}: some GB, a few minutes the first time")
    uv = bootstrap_uv(venv, python)
    if uv is not None:
        command = [str(uv), "pip", "install", "--python", str(python), "--require-hashes", "-r", lock]
        project = [str(uv), "pip", "install", "--python", str(python)]
        if subprocess.run(command).returncode != 0:
            say("uv could not install it; trying pip")
            uv = None
    if uv is None:
        # the lock is whole; pip's own search for versions fails where a package asks for an extra of a locked one
        call([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", lock])
        project = [str(python), "-m", "pip", "install", "--quiet"]
    call([*project, "--no-deps", "--no-build-isolation", "-e", "."])
    (venv / STAMP).write_text(digest(Path(lock)) + "\n", encoding="utf-8")


def bootstrap_uv(venv: Path, python: Path) -> Path | None:
    """uv in a corner of the environment, so that it is no part of what is locked; None where it cannot be had."""
    corner = venv / "uv"
    binary = corner / "bin" / "uv"
    if not binary.exists():
        pip = [str(python), "-m", "pip", "install", "--quiet", "--target", str(corner), "uv"]
        if subprocess.run(pip).returncode != 0 or not binary.exists():
            say("uv could not be had; pip takes its place (slower)")
            return None
    return binary


def call(command: list[str]) -> None:
    code = subprocess.run(command).returncode
    if code != 0:
        stop(f"this command failed with exit code {code}: {' '.join(command)}")


def say(text: str) -> None:
    sys.stderr.write(f"install: {text}\n")


def stop(text: str) -> None:
    sys.exit(f"install: {text}")


if __name__ == "__main__":
    sys.exit(main())
