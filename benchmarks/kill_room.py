"""The tiny project of kill_everything.py: what an undisturbed run leaves, and how its processes are watched."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
sys.modules["tests"] = ModuleType("tests")  # ours, not a package of that name that some other one installed
sys.modules["tests"].__path__ = [str(ROOT / "tests")]

from ddpm_core.files import atomic_write_json, json_bytes, sha256_bytes, sha256_file  # noqa: E402
from pipelines.params import read_yaml  # noqa: E402
from pipelines.runtime.lifetime import having  # noqa: E402
from tests.support.project import STAGES, Project, tiny_project, write_yaml  # noqa: E402

MARK = "DDPM_KILLS"
STEPS, SAVED_EVERY = 120, 10  # some ten seconds of training, more on a slow machine
OUTPUTS = {"prepare": ("data/prepared", "data/manifest.parquet", "data/quarantine"), "shard": ("data/shards",)}
MADE = {
    "validate": ("out/contract.json",),
    "reference": ("out/reference",),
    "train": ("out/weights.safetensors", "out/curves.csv"),
    "export": ("out/bundle",),
    "evaluate": ("out/record.json", "out/samples", "out/metrics.json"),
    "report": ("out/report",),
    "gate": ("out/gate.json",),
    **OUTPUTS,
}


@dataclass(frozen=True)
class Room:
    """A project with its undisturbed end, and the ports of the servers."""

    project: Project
    folder: Path
    port: int

    def environment(self) -> dict[str, str]:
        api = f"http://127.0.0.1:{self.port}/api"
        prefect = {"PREFECT_API_URL": api, "PREFECT_HOME": str(self.folder / "prefect"), "DO_NOT_TRACK": "true"}
        return {**self.project.environment(), **prefect, "PYTHONPATH": str(self.project.root)}

    def start(self, *words: str, log: Path) -> subprocess.Popen[bytes]:
        """A program that is ours to kill, with all that it starts known by a mark."""
        with log.open("wb") as file:
            return subprocess.Popen(
                words,
                cwd=self.project.root,
                env={**self.environment(), MARK: str(self.folder)},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ours(self) -> list[int]:
        return sorted(having(MARK, str(self.folder)))

    def digests(self) -> dict[str, str]:
        root = self.project.root
        files = (file for name in ("data", "out") for file in (root / name).rglob("*"))
        kept = (file for file in sorted(files) if file.is_file() and ".part" not in str(file))
        lock = json_bytes(read_yaml(root / "dvc.lock"))  # what it says: `take_away` writes it in another style than DVC
        return {
            "dvc.lock": sha256_bytes(lock),
            **{file.relative_to(root).as_posix(): sha256_file(file) for file in kept},
        }

    def take_away(self, stage: str) -> None:
        """The state of things before a stage ran."""
        root, later = self.project.root, STAGES[STAGES.index(stage) :]
        for name in (path for made in later for path in MADE[made]):
            place = root / name
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        lock = read_yaml(root / "dvc.lock")
        lock["stages"] = {name: value for name, value in lock["stages"].items() if name not in later}
        write_yaml(root / "dvc.lock", lock)
        shutil.rmtree(root / ".dvc" / "cache" / "runs", ignore_errors=True)
        shutil.rmtree(self.project.home / "checkpoints", ignore_errors=True)


def made(folder: Path) -> tuple[Room, dict[str, str], float]:
    """The room, the bytes of its undisturbed run, and how long from stage train on that took."""
    known = folder / "whole.json"
    os.environ["PYTHONPATH"] = str(folder / "project")  # its own code, whatever is installed
    project = Project(folder / "project", folder / "home")
    room = Room(project, folder, free_port())
    if not known.exists():
        shutil.rmtree(folder, ignore_errors=True)
        changes = {
            "runtime": {"tracking": False},
            "train": {"steps": STEPS, "checkpoint_every": SAVED_EVERY, "sample_every": 0},
        }
        end_well(tiny_project(folder, changes).ddpm("run"))
        room.take_away("train")
        began = time.monotonic()
        end_well(project.ddpm("run"))
        atomic_write_json(known, {"files": room.digests(), "seconds": time.monotonic() - began})
    value = json.loads(known.read_text())
    return room, value["files"], value["seconds"]


def end_well(done: Any) -> str:
    if done.code != 0:
        raise SystemExit(f"a run must end well, but its exit code is {done.code}:\n{done.text[-3000:]}")
    return str(done.text)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that a server answers, None where it does not."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text.decode()


def until(look: Callable[[], Any], seconds: float) -> Any:
    """The first true answer; None where none comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.2)
    return None
