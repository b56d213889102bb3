"""Which check of the gate catches which fault, and how often a healthy model is blocked.

    python benchmarks/planted_pools.py PROJECT CACHE        until no subset is missing
    python benchmarks/planted_faults.py score PROJECT CACHE [--seconds 540]    until it says that all is scored
    python benchmarks/planted_faults.py table CACHE

Every fault is judged 20 times, on disjoint subsets, by the rules of params.yaml (gate.min_images is lowered to 100 for
subsets of 103), and beside the healthy model on the same seeds and labels by the rules for a champion. Faults that are
made of healthy samples have 1,027 of them a subset, as the default run has; those that must be sampled have 103.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planted_bench import Bench, Samples
from planted_changes import FAULTS, flipped_bits, golden_differences
from planted_pools import SUBSETS

from ddpm_core.metrics.comparison import compare
from ddpm_core.metrics.intervals import wilson
from ddpm_core.metrics.labels import rows_like
from ddpm_core.metrics.verdict import verdict

DRAWS, AT_ONCE = 200, 25
LOSSES = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)  # values of gate.max_champion_loss
RATIOS = (4.0, 5.0, 5.5, 6.0, 7.0, 8.0)  # values of gate.max_distance_ratio
DISTANCES = ("fcd to train", "fcd to test")


# ---- a model against itself


def against_itself(bench: Bench, draw: int) -> dict[str, Any]:
    """Two disjoint draws from the healthy pool, of other seeds and the labels of the stage: which rules block, at which
    limits?"""
    everything, rng = Samples.joined(bench.healthy), np.random.default_rng([99, draw])
    asked, left = np.sort(bench.healthy[0].labels), np.arange(len(everything.labels))
    drawn = []
    for _ in range(2):
        rows = left[rows_like(asked, everything.labels[left], rng)]
        left = np.setdiff1d(left, rows)
        drawn.append(bench.measured(everything.take(rows[np.argsort(everything.labels[rows], kind="stable")])))
    one, other = drawn
    gate = bench.params.gate
    blocked = {
        str(ratio): [
            rule.rule
            for rule in verdict(one.metrics, one.record, replace(gate, max_distance_ratio=ratio)).rules
            if rule.outcome != "pass"
        ]
        for ratio in RATIOS
    }
    worse = {
        str(loss): [
            rule.rule for rule in compare(one, other, replace(gate, max_champion_loss=loss)) if rule.outcome != "pass"
        ]
        for loss in LOSSES
    }
    ratios = {name: one.metrics[name] for name in ("fcd_ratio_train", "fcd_ratio_test")}
    return {"gate": blocked, "champion": worse, "ratios": ratios}


# ---- the work, in pieces


def pieces(bench: Bench) -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in FAULTS:
        yield name, partial(_judged, bench, name)
    yield "golden", partial(golden_differences, bench.project, bench.cache)
    yield "flipped", partial(flipped_bits, bench.project, bench.cache)
    for start in range(0, DRAWS, AT_ONCE):
        yield f"itself {start:03d}", partial(_against_itself, bench, range(start, start + AT_ONCE))


def _judged(bench: Bench, name: str) -> list[dict[str, list[str]]]:
    return [bench.blocking(*FAULTS[name].planted(bench, subset)) for subset in range(SUBSETS)]


def _against_itself(bench: Bench, draws: range) -> list[dict[str, Any]]:
    return [against_itself(bench, draw) for draw in draws]


def score(project: Path, cache: Path, seconds: float) -> None:
    torch.set_num_threads(1)
    bench, began, left = Bench(project, cache), time.monotonic(), 0
    for name, work in pieces(bench):
        kept = place(cache, name)
        if kept.is_file():
            continue
        if time.monotonic() - began > seconds:
            left += 1
            continue
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(work()))
    print(f"{time.process_time():.0f} CPU s; {left} pieces are missing" if left else "all is scored")


def place(cache: Path, name: str) -> Path:
    return cache / "scores" / f"{name.replace(' ', '-').replace('%', 'percent')}.json"


# ---- the tables


def faults_table(cache: Path) -> Iterator[str]:
    yield "| fault | n | distance rules of the gate (train / unseen) | other rules of the gate | beside the champion |"
    yield "|---|---|---|---|---|"
    for name, fault in FAULTS.items():
        if not place(cache, name).is_file():
            continue
        scores = json.loads(place(cache, name).read_text())
        counts = Counter(rule for each in scores for rule in each["gate"])
        near = " / ".join(str(counts[distance]) for distance in DISTANCES)
        others = ", ".join(f"{rule} {count}" for rule, count in counts.most_common() if rule not in DISTANCES)
        beside = sum(bool(each["champion"]) for each in scores)
        yield f"| {name} | {fault.n:,} | {near} | {others} | {beside} of {len(scores)} |"
    yield ""
    for name in ("golden", "flipped"):
        if place(cache, name).is_file():
            yield f"{name}: {place(cache, name).read_text()}"


def itself_table(cache: Path) -> Iterator[str]:
    files = sorted((cache / "scores").glob("itself-*.json"))
    draws = [draw for file in files for draw in json.loads(file.read_text())]
    if not draws:
        return
    yield "| rule | limit | healthy draws blocked | of them, by rule |"
    yield "|---|---|---|---|"
    for kind, name, limits in (
        ("gate", "gate.max_distance_ratio", RATIOS),
        ("champion", "gate.max_champion_loss", LOSSES),
    ):
        for limit in limits:
            found = [draw[kind][str(limit)] for draw in draws]
            blocked, ends = sum(map(bool, found)), wilson(sum(map(bool, found)), len(found), 0.95)
            counts = ", ".join(f"{rule} {n}" for rule, n in Counter(r for each in found for r in each).most_common())
            share = f"{blocked} of {len(found)}: {blocked / len(found):.1%} ({ends.low:.1%} to {ends.high:.1%})"
            yield f"| {name} | {limit:g} | {share} | {counts} |"
    for name in draws[0]["ratios"]:
        values = np.array([draw["ratios"][name] for draw in draws])
        yield f"{name}: mean {values.mean():.3f}, standard deviation {values.std():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    scoring = verbs.add_parser("score")
    scoring.add_argument("project", type=Path)
    scoring.add_argument("cache", type=Path)
    scoring.add_argument("--seconds", type=float, default=540.0)
    verbs.add_parser("table").add_argument("cache", type=Path)
    args = parser.parse_args()
    if args.verb == "score":
        score(args.project, args.cache, args.seconds)
    else:
        print("\n".join([*faults_table(args.cache), "", *itself_table(args.cache)]))


if __name__ == "__main__":
    main()
