"""40 kills (-9 and TERM) at random moments: is nothing left behind, and does the next run end as if nothing had been?

    python benchmarks/kill_everything.py --kills 40 --work /tmp/kill-everything

A tiny project is run once, undisturbed. Then, kill by kill (seeded): the outputs from a stage on are taken away, what
makes them is started again, and one process is killed: `ddpm run`, the stage, the Prefect worker, the flow that it
started, `ddpm serve` or `ddpm ui`. Five seconds later no process of it may live; the next run must end well, by itself;
must do nothing that was done; and must leave the very bytes of the undisturbed run, dvc.lock included. Progress is kept
in the work folder, so that the same command goes on after its own interruption.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
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
from pipelines.runtime.lifetime import descendants, having  # noqa: E402
from tests.support.project import STAGES, Project, tiny_project, write_yaml  # noqa: E402

MARK = "DDPM_KILLS"
# What is killed, as often as it stands here; the stages from which on the outputs are taken away, training most often.
TARGETS = ("run", "run", "run", "stage", "stage", "worker", "flow", "serve", "ui", "run")
FROM = ("train", "train", "train", "prepare", "reference", "export", "evaluate")
STEPS, SAVED_EVERY = 120, 10  # some ten seconds of training, more on a slow machine
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")  # Prefect's states of a run that is over
FAULTS = ("left", "again", "repeated", "different")
DDPM = (sys.executable, "-m", "pipelines.cli")
PREFECT = (sys.executable, "-m", "prefect")
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
    if not (project.root / "out" / "gate.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        changes = {
            "runtime": {"tracking": False},
            "train": {"steps": STEPS, "checkpoint_every": SAVED_EVERY, "sample_every": 0},
        }
        end_well(tiny_project(folder, changes).ddpm("run"))
    room = Room(project, folder, free_port())
    if not known.exists():
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


# ------------------------------------------------------------------------------------------------------- one kill


def left_after(room: Room, seconds: float = 5.0) -> list[int]:
    """The processes that still live so long after a kill."""
    time.sleep(seconds)
    return room.ours()


def kill_run(room: Room, target: str, number: signal.Signals, chance: random.Random, span: float) -> dict[str, Any]:
    """Kill `ddpm run` or its stage, and run again."""
    stage, log = chance.choice(FROM), room.folder / "killed.log"
    room.take_away(stage)
    process = room.start(*DDPM, "run", log=log)
    until(lambda: f"{stage} " in log.read_text() or process.poll() is not None, 120)
    time.sleep(chance.uniform(0, 0.8 * span))
    below = descendants(process.pid)
    pid = below[0] if target == "stage" and below else process.pid
    seen = process.poll() is None and kill(pid, number)  # one that has ended can still be sent a signal
    if target == "stage":  # the run hears of it and ends, or its stage was over already and it goes on
        until(lambda: process.poll() is not None, 600)
    saved = list((room.project.home / "checkpoints").glob("*/step-*/manifest.json"))
    left = left_after(room)
    process.poll()
    before = log.read_text()
    after = room.project.ddpm("run")
    return {
        "from": stage, "killed": seen, "left": left, "code": process.poll(), "again": after.code,
        "repeated": repeated(before, after.text, bool(saved)), "text": after.text if after.code else "",
    }  # fmt: skip


def kill(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def repeated(before: str, after: str, saved: bool) -> list[str]:
    """What had been done and was done again: finished stages, or a training that had saved."""
    done = [
        name
        for name in STAGES
        if any(line.startswith(f"{name} ") and " done in " in line for line in before.splitlines())
    ]
    again = [name for name in done if any(line.startswith(f"{name} ") and "..." in line for line in after.splitlines())]
    began = any(line.startswith("train ") and "..." in line for line in after.splitlines())
    return again + (["steps of train"] if saved and began and "resumed from the checkpoint" not in after else [])


def kill_flow(room: Room, target: str, number: signal.Signals, chance: random.Random, span: float) -> dict[str, Any]:
    """Kill the Prefect worker or the flow that it started; then another worker runs the deployment again.

    A worker that gets SIGTERM takes no further run and waits for the one that it has (Prefect's own rule): what lives
    is then the worker's, and must be gone once the run has ended.
    """
    api = f"http://127.0.0.1:{room.port}/api"
    room.take_away("train")
    log = room.folder / "worker.log"
    worker = room.start(*PREFECT, "worker", "start", "--pool", "ddpm", log=log)
    run = triggered(room, api)
    until(lambda: state_of(api, run) == "RUNNING", 180)
    until(lambda: "train" in log.read_text(), 120)
    time.sleep(chance.uniform(0, 0.8 * span))
    flows = [pid for pid in descendants(worker.pid) if b"prefect" in command(pid)]
    seen = kill(flows[0] if target == "flow" and flows else worker.pid, number)
    if target == "flow":
        until(lambda: state_of(api, run) not in ("RUNNING", "CANCELLING"), 20)
        end_worker(worker)  # it is the flow's death that is looked at, and the worker would start no other
    elif number == signal.SIGTERM:
        until(lambda: state_of(api, run) in ENDED, 600)
        end_worker(worker)
    left = left_after(room)
    state = until(lambda: (now := state_of(api, run)) not in ("RUNNING", "PENDING") and now, 30) or state_of(api, run)
    worker.poll()
    another = room.start(*PREFECT, "worker", "start", "--pool", "ddpm", log=log)
    again = triggered(room, api)
    ended = until(lambda: (now := state_of(api, again)) in ENDED and now, 600)
    end_worker(another)
    text = "" if ended == "COMPLETED" else log.read_text()[-3000:]
    code = 0 if ended == "COMPLETED" and state in ENDED else 1
    return {"from": "train", "killed": seen, "left": left, "state": state, "again": code, "repeated": [], "text": text}


def end_worker(worker: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, and where Prefect's worker still waits for something half a minute later the second one, which kills."""
    for _ in range(2):
        worker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(timeout=30)
            return
    worker.wait()


def triggered(room: Room, api: str) -> str:
    (deployment,) = ask(f"{api}/deployments/filter", {})
    return str(ask(f"{api}/deployments/{deployment['id']}/create_flow_run", {})["id"])


def state_of(api: str, run: str) -> str:
    return str((ask(f"{api}/flow_runs/{run}") or {}).get("state_type"))


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill_server(room: Room, target: str, number: signal.Signals, chance: random.Random, span: float) -> dict[str, Any]:
    """Kill a server while it starts or answers; then another one must answer at the same port."""
    port = free_port()
    path = {"serve": "health/live", "ui": "health"}[target]
    log = room.folder / "server.log"
    process = room.start(*DDPM, target, "--port", str(port), log=log)
    if chance.random() < 0.7:
        until(lambda: ask(f"http://127.0.0.1:{port}/{path}"), 180)
    else:
        time.sleep(chance.uniform(0, 0.3 * span))
    seen = kill(process.pid, number)
    left = left_after(room)
    process.poll()
    another = room.start(*DDPM, target, "--port", str(port), log=log)
    answer = until(lambda: ask(f"http://127.0.0.1:{port}/{path}"), 240)
    another.terminate()
    another.wait()
    until(lambda: not room.ours(), 10)
    text = "" if answer else log.read_text()[-3000:]
    return {"killed": seen, "left": left, "again": 0 if answer else 1, "repeated": [], "text": text}


KINDS = {
    "run": kill_run,
    "stage": kill_run,
    "worker": kill_flow,
    "flow": kill_flow,
    "serve": kill_server,
    "ui": kill_server,
}


# ------------------------------------------------------------------------------------------------------------ all


def server(room: Room) -> subprocess.Popen[bytes]:
    """Prefect's server with the deployment, for the whole time; nobody kills it."""
    log = (room.folder / "prefect-server.log").open("wb")
    words = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(room.port)]
    process = subprocess.Popen(
        words, cwd=room.project.root, env=room.environment(), stdout=log, stderr=log, start_new_session=True
    )
    until(lambda: ask(f"http://127.0.0.1:{room.port}/api/health"), 240)
    for some in (["work-pool", "create", "ddpm", "--type", "process", "--overwrite"],
                 ["--no-prompt", "deploy", "--prefect-file", "infra/prefect.yaml", "--name", "nightly"]):  # fmt: skip
        subprocess.run(
            [*PREFECT, *some], cwd=room.project.root, env=room.environment(), check=True, capture_output=True
        )
    return process


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=40)
    arguments.add_argument("--work", type=Path, default=Path("/tmp/ddpm-kill-everything"))
    arguments.add_argument("--seconds", type=float, default=1e9, help="then it ends; the same command goes on")
    arguments.add_argument("--targets", default=",".join(TARGETS), help="what is killed, in turn")
    asked = arguments.parse_args()
    room, whole, span = made(asked.work)
    file, end = asked.work / "kills.jsonl", time.monotonic() + asked.seconds
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    targets, prefect = asked.targets.split(","), None
    try:
        while sum(result["killed"] for result in results) < asked.kills and time.monotonic() < end:
            chance = random.Random(len(results))
            target, number = targets[len(results) % len(targets)], chance.choice([signal.SIGKILL, signal.SIGTERM])
            if KINDS[target] is kill_flow and prefect is None:
                prefect = server(room)
            result = {"target": target, "signal": number.name, **KINDS[target](room, target, number, chance, span)}
            now = room.digests()
            result["different"] = sorted(name for name in {*whole, *now} if whole.get(name) != now.get(name))
            results.append(result)
            with file.open("a") as kept:
                kept.write(json.dumps(result) + "\n")
            print({name: value for name, value in result.items() if name != "text" or value}, flush=True)
    finally:
        if prefect is not None:
            prefect.terminate()
            prefect.wait()
    print(table(results))
    if any(result[fault] for result in results for fault in FAULTS):
        raise SystemExit(1)


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| killed | times | left something after 5 s | next run failed | repeated work | other bytes |",
        "|---|---|---|---|---|---|",
    ]
    for target in dict.fromkeys(TARGETS):
        of = [result for result in results if result["target"] == target and result["killed"]]
        counts = [sum(bool(result[fault]) for result in of) for fault in FAULTS]
        lines.append(f"| {target} | {len(of)} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
