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
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kill_room import STAGES, Room, ask, free_port, made, until

from pipelines.runtime.lifetime import command_of, descendants

# What is killed, as often as it stands here; the stages from which on the outputs are taken away, training most often.
TARGETS = ("run", "run", "run", "stage", "stage", "worker", "flow", "serve", "ui", "run")
FROM = ("train", "train", "train", "prepare", "reference", "export", "evaluate")
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")  # Prefect's states of a run that is over
FAULTS = ("left", "again", "repeated", "different")
DDPM = (sys.executable, "-m", "pipelines.cli")
PREFECT = (sys.executable, "-m", "prefect")


# ------------------------------------------------------------------------------------------------------- one kill


def left_after(room: Room, seconds: float = 5.0) -> list[str]:
    """The processes that still live so long after a kill: the id and the command of each."""
    time.sleep(seconds)
    return [f"{pid}: {command_of(pid).replace(bytes(1), b' ').decode(errors='replace')}" for pid in room.ours()]


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
    flows = [pid for pid in descendants(worker.pid) if b"prefect" in command_of(pid)]
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
    deployment = ["--prefect-file", "infra/prefect.yaml", "--name", "nightly-ddpm-pipeline"]
    for some in (["work-pool", "create", "ddpm", "--type", "process", "--overwrite"],
                 ["--no-prompt", "deploy", *deployment]):  # fmt: skip
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
    arguments.add_argument("--within", type=float, help="kill in so many seconds after the first line of a stage")
    asked = arguments.parse_args()
    room, whole, span = made(asked.work)
    span = asked.within / 0.8 if asked.within else span
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
