"""CPU seconds of training until `fcd` falls below 3 times what unseen real digits score: ours against two peers.

    .venv-peers/bin/python benchmarks/time_to_quality.py --state /tmp/ttq --seconds 600    # again, until all are done
    .venv-peers/bin/python benchmarks/time_to_quality.py --page                            # the table and the picture
    .venv-peers/bin/python benchmarks/time_to_quality.py --state /tmp/ttq --sides SIDE --again 10 25 50   # evaluations

One process, one thread. The sides take turns, always the one that has had the fewest CPU seconds. Each is judged at
times that grow as a geometric series, by its averaged weights, which its clock does not count: as many samples as the
test split has, by the sampler of params.yaml (without labels with 25 evaluations of the network a picture), scored by
the project's own reference. A look at 128 of them comes first, and the others are made where that lies near the limit.
A peer is stopped at 5 times our seconds, ours with one choice taken back at 3 times. A side's state lies in --state,
its curve in the CSV, so a run that was ended goes on where it stood.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import rows as results
import torch
from quality_recipes import ABLATION, NAMES, OURS, PEERS, TRIES, build
from quality_sides import Side

HERE = Path(__file__).parent
COLUMNS = (
    "side", "updates", "pictures", "cpu_seconds", "wall_seconds", "n", "evaluations",
    "fcd_train", "fcd_test", "ratio_train", "ratio_test", "accuracy_asked",
)  # fmt: skip
LIMIT, NEAR = 3.0, 4.5
STOPS = {**dict.fromkeys(NAMES, 5.0), **dict.fromkeys(ABLATION, 3.0)}
PLOTS = {
    "time-to-quality.png": [name for name in NAMES if name not in ABLATION],
    "time-to-quality-choices.png": [OURS, *ABLATION],
}
TURN = 15.0  # CPU seconds
FIRST = 60.0  # CPU seconds before a side is first judged
AT_THE_END = {name for name in PEERS if "its settings" in name}  # too slow to be judged before
FACTORS = {OURS: 1.15}
FACTOR = 1.65  # of the others: each time a side is judged lies so much later than the one before


class Entry:
    """A side, its clocks, and when it is judged next."""

    def __init__(self, name: str, project: Path, state: Path, images: Any, seed: int) -> None:
        self.name, self.folder = name, state / name.replace(",", "").replace(" ", "-")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock = {"cpu": 0.0, "wall": 0.0, "pictures": 0}
        torch.manual_seed(seed)
        self.side: Side = build(name, project, self.folder, images, seed)
        if (self.folder / "clock.json").is_file():
            self.clock = json.loads((self.folder / "clock.json").read_text(encoding="utf-8"))
            self.side.load(self.folder)
        self._random = torch.get_rng_state()
        self.due = next_due(name, self.clock["cpu"])

    def turn(self, limit: float) -> None:
        """Train for some CPU seconds, with random numbers of its own."""
        seconds = min(TURN, self.due - self.clock["cpu"], limit - self.clock["cpu"])
        torch.set_rng_state(self._random)
        cpu, wall, pictures = time.process_time(), time.perf_counter(), 0
        while time.process_time() - cpu < seconds and not self.side.ended:
            pictures += self.side.step()
        self.clock["cpu"] += time.process_time() - cpu
        self.clock["wall"] += time.perf_counter() - wall
        self.clock["pictures"] += pictures
        self._random = torch.get_rng_state()

    def save(self) -> None:
        torch.set_rng_state(self._random)
        self.side.save(self.folder)
        (self.folder / "clock.json").write_text(json.dumps(self.clock), encoding="utf-8")


def next_due(name: str, cpu: float) -> float:
    """The first time after `cpu` in the series of a side."""
    due = float("inf") if name in AT_THE_END else FIRST
    while due <= cpu:
        due *= FACTORS.get(name, FACTOR)
    return due


# ---------------------------------------------------------------------------------------------------- the race


def race(args: argparse.Namespace) -> bool:
    """Let the sides take turns while there is time; whether all are done."""
    from quality_judge import Scale

    began, scale, entries = time.monotonic(), Scale(args.project), opened(args)
    while True:
        rows = results.read(args.csv)
        running = [entry for entry in entries if not is_done(entry.name, rows, entry.clock["cpu"], entry.side.ended)]
        if not running or time.monotonic() - began > args.seconds:
            break
        while args.pause.exists():
            time.sleep(5)
        entry = min(running, key=lambda entry: entry.clock["cpu"])
        limit = STOPS[entry.name] * (reached(rows, OURS) or float("inf"))
        entry.turn(limit)
        if entry.clock["cpu"] >= min(entry.due, limit) or entry.side.ended:
            entry.save()
            row = judged(entry, scale)
            results.append(args.csv, COLUMNS, row)
            say(row)
            entry.due = next_due(entry.name, entry.clock["cpu"])
    for entry in running:
        entry.save()
    return not running


def judged_again(args: argparse.Namespace) -> None:
    """Print what each side scores where it stands, by each number of evaluations."""
    from quality_judge import Scale

    entries, scales = opened(args), [Scale(args.project, evaluations) for evaluations in args.again]
    for entry in entries:
        if entry.side.conditional or not entry.clock["cpu"]:
            raise SystemExit(f"--again: needs a side without labels that was trained in --state, got {entry.name!r}")
        for scale in scales:
            say(judged(entry, scale, float("inf")))


def opened(args: argparse.Namespace) -> list[Entry]:
    from pipelines.shards.archive import read_split

    images = read_split(args.project / "data" / "shards", "train").x
    return [Entry(name, args.project, args.state, images, args.seed) for name in args.sides]


def say(row: dict[str, Any]) -> None:
    print(", ".join(f"{name} {results.shown(row[name])}" for name in COLUMNS if name in row), flush=True)


def judged(entry: Entry, scale: Any, near: float = NEAR) -> dict[str, Any]:
    clock = entry.clock
    row = {"side": entry.name, "updates": entry.side.updates, "pictures": clock["pictures"]}
    return {**row, "cpu_seconds": clock["cpu"], "wall_seconds": clock["wall"], **scale.judge(entry.side, near)}


def is_done(name: str, rows: list[dict[str, str]], cpu: float, ended: bool) -> bool:
    """Judged after its last update, or at its stop, or below the limit, or worse than another try of the same peer."""
    last = max((float(row["cpu_seconds"]) for row in rows if row["side"] == name), default=0.0)
    ours = reached(rows, OURS)
    return (
        (ended and last >= cpu - 0.01)
        or reached(rows, name) is not None
        or (ours is not None and last >= STOPS[name] * ours)
        or any(name in group and nearest(rows, group) not in (None, name) for group in TRIES)
    )


def nearest(rows: list[dict[str, str]], group: Sequence[str]) -> str | None:
    """Of some tries the one that was nearest when first judged; None before all were."""
    firsts: dict[str, float] = {}
    for row in rows:
        if row["side"] in group:
            firsts.setdefault(row["side"], float(row["ratio_train"]))
    return min(firsts, key=lambda name: firsts[name]) if len(firsts) == len(group) else None


def reached(rows: list[dict[str, str]], name: str) -> float | None:
    """CPU seconds at which a side was first judged to be below the limit, by all samples."""
    most = max((int(row["n"]) for row in rows), default=0)
    times = [
        float(row["cpu_seconds"])
        for row in rows
        if row["side"] == name and int(row["n"]) == most and float(row["ratio_train"]) < LIMIT
    ]
    return min(times, default=None)


# ---------------------------------------------------------------------------------------------------- the page


def table(rows: list[dict[str, str]]) -> str:
    """For a page: the last two judgements of each side, up to the first below the limit, and how it compares."""
    lines = []
    for name in NAMES:
        own = curve(rows, name)
        if own:
            last, before = own[-1], [scored(own[-2]) if len(own) > 1 else ""]
            seconds, pictures = float(last["cpu_seconds"]), float(last["pictures"])
            lines.append(
                [name, last["updates"], f"{pictures / seconds:.0f}", *before, scored(last), against_ours(rows, name)]
            )
    head = ["side", "updates", "pictures a CPU s", "judged before", "judged last", "times ours"]
    return common.table(head, lines) + "\n"


def curve(rows: list[dict[str, str]], name: str) -> list[dict[str, str]]:
    """A side's rows, no farther than to the first below the limit."""
    at = reached(rows, name) or float("inf")
    return [row for row in rows if row["side"] == name and float(row["cpu_seconds"]) <= at]


def scored(row: dict[str, str]) -> str:
    """`seconds: ratio to train / to unseen`; with the samples where they are not all."""
    ratios = f"{float(row['ratio_train']):.1f} / {float(row['ratio_test']):.1f}"
    return f"{float(row['cpu_seconds']):.0f} s: {ratios}" + (f" (n {row['n']})" if int(row["n"]) < 1000 else "")


def against_ours(rows: list[dict[str, str]], name: str) -> str:
    """The time to the limit as a multiple of ours; where it was not reached, what it is at least."""
    ours, own = crossing(curve(rows, OURS)), crossing(curve(rows, name))
    if ours is None:
        return ""
    if own is None:
        return f"not reached, above {float(curve(rows, name)[-1]['cpu_seconds']) / (reached(rows, OURS) or ours):.1f}"
    return f"{own / ours:.2f}"


def crossing(own: list[dict[str, str]]) -> float | None:
    """CPU seconds at the limit, between the last two judgements along a straight line in both logarithms."""
    if len(own) < 2 or float(own[-1]["ratio_train"]) >= LIMIT:
        return None
    (t0, r0), (t1, r1) = ([math.log(float(row[key])) for key in ("cpu_seconds", "ratio_train")] for row in own[-2:])
    return math.exp(t0 + (t1 - t0) * (r0 - math.log(LIMIT)) / (r0 - r1))


def plot(rows: list[dict[str, str]], names: Sequence[str]) -> bytes:
    """Distances over CPU seconds, to the training digits and to unseen ones, as multiples of what real digits score."""
    from pipelines.report.parts.chart import Line, Panel, chart

    panels = []
    for column, title in (("ratio_train", "distance to the training digits"), ("ratio_test", "to unseen digits")):
        lines = []
        for name in names:
            own = [(float(row["cpu_seconds"]), float(row[column])) for row in rows if row["side"] == name]
            if own:
                lines.append(Line(brief(name), [x for x, _ in own], [y for _, y in own]))
        panels.append(
            Panel(
                title,
                "CPU seconds of training",
                "fcd, as a multiple of what real digits score",
                lines,
                levels=[("3 times as far as real digits", LIMIT)],
                x_ticks=(60, 80, 100, 150, 200, 300, 400),
                y_ticks=(1, 3, 10, 30, 100, 300, 1000),
            )
        )
    return chart(panels)


def brief(name: str) -> str:
    """As a legend has room for."""
    return name.replace("denoising-diffusion", "dd-pytorch").replace(" tuned,", "").replace(" channels", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(), help="with out/reference and data/shards")
    parser.add_argument("--state", type=Path, help="where trainings lie that are not done")
    parser.add_argument("--sides", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seed", type=int, default=0, help="of the trainings; use another --state and --csv for each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="take no turn after so many")
    parser.add_argument("--pause", type=Path, default=Path("pause"), help="take no turn while this file is there")
    parser.add_argument("--page", action="store_true", help="train nothing")
    parser.add_argument(
        "--again",
        type=int,
        nargs="+",
        help="train nothing; judge the sides as trained, by so many evaluations each",
    )
    parser.add_argument("--csv", type=Path, default=HERE / "time_to_quality.csv")
    parser.add_argument("--images", type=Path, default=HERE.parent / "docs" / "images", help="where pictures go")
    args = parser.parse_args()
    if not args.page:
        if args.state is None:
            parser.error("--state: name a folder for what is not done, or give --page")
        if any(name in PEERS for name in args.sides):
            for peer in ("diffusers", "denoising-diffusion-pytorch"):
                common.needs(peer)
        print(common.machine("torch", "diffusers", "denoising-diffusion-pytorch"))
        torch.set_num_threads(int(common.os.environ["OMP_NUM_THREADS"]))
        if args.again:
            judged_again(args)
            return 0
        print("all sides are done" if race(args) else "more to come: run it again")
    rows = results.read(args.csv)
    for file, names in PLOTS.items():
        (args.images / file).write_bytes(plot(rows, names))
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
