"""Does the gate mean the same on every data set? Real pictures, faulty pictures and models before its rules.

    python benchmarks/gate_data.py ...        # the data sets
    python benchmarks/gate_models.py DATA     # models and their samples
    python benchmarks/gate_features.py DATA efficientnet_lite0
    python benchmarks/gate_features.py DATA classifier
    python benchmarks/gate_trial.py DATA [SET ...] [--splits 200] [--draws 20]

One set of limits, that of params.yaml. A split draws n held-out pictures as samples and n others as unseen ones. A
control is n pictures (or as many as were looked at) made of training pictures, beside n unseen ones; it must be blocked
by the rules of likeness alone, without those of labels and copies. Results are kept in DATA/results, a file a set.
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import common
import numpy as np
from gate_controls import ALIKE, CONTROLS, Control, modes_of, picked
from gate_data import SETS
from gate_models import MODELS, file_of
from gate_pool import Pool, View

from pipelines.params import load_params

SIZES = (100, 250, 1000)
PARAMS = Path(__file__).parents[1] / "params.yaml"
PASS, FAIL = "pass", "fail"


def real_splits(pool: Pool, n: int, views: list[View], splits: int) -> dict[str, Any]:
    """How often held-out pictures pass and fail beside others, what did not pass, and how often an interval lacks 0."""
    held, outcomes, against, off = pool.looked_at("held", views), Counter(), Counter(), Counter()
    energies: dict[str, list[float]] = {view.name: [] for view in views}
    for split in range(splits):
        order = np.random.default_rng(split).permutation(held)
        samples, unseen = (pool.numbers("held", rows) for rows in (order[:n], order[n : 2 * n]))
        asked = pool.data.held_labels[order[:n]]
        outcome, rules, metrics = pool.judged(samples, asked, unseen, views, labels=True)
        outcomes[outcome] += 1
        against.update(
            f"{rule.rule}: {rule.outcome}" for rule in rules if rule.outcome in (FAIL, "not enough evidence")
        )
        for name, values in energies.items():
            values.append(metrics[f"energy_{name}"])
            off[name] += not metrics[f"energy_{name}_low"] <= 0 <= metrics[f"energy_{name}_high"]
    spread = {name: [float(np.mean(values)), float(np.std(values))] for name, values in energies.items()}
    return {"splits": splits, "outcomes": outcomes, "against": against, "off": off, "energy": spread}


def control_draws(pool: Pool, n: int, views: list[View], draws: int) -> dict[str, Any]:
    """Of each control in how many draws it is blocked, and its mean values. A draw has one set of unseen pictures."""
    controls = [each for each in CONTROLS if pool.data.classes >= 2 or "class" not in each.name]
    found = {control.name: Tally(control.gross) for control in controls}
    for draw in range(draws):
        rng = np.random.default_rng([draw, n])
        unseen = pool.numbers("held", rng.permutation(pool.looked_at("held", views))[:n])
        most = min(pool.looked_at(side, views) for side in ("train", "noise"))
        base = rng.permutation(most)[:n]
        modes = modes_of(views[0].of_side("train"), draw)
        for control in controls:
            samples = control_samples(pool, control, base, modes, rng)
            # A model that lost modes or classes was asked for all labels.
            asked = pool.data.train_labels[base[: len(samples)]]
            found[control.name].add(len(samples), *pool.judged(samples, asked, unseen, views, labels=False))
    return {name: tally.summary() for name, tally in found.items()}


def control_samples(
    pool: Pool, control: Control, base: np.ndarray, modes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Pictures by number: what the control makes of the training pictures `base`, or as many that it picks."""
    if control.change is None:
        labels = pool.data.train_labels[: len(modes)]
        return pool.numbers("train", picked(control.name, labels, modes, len(base), rng))
    if control.change in ALIKE:
        return pool.numbers(control.change, np.zeros_like(base))
    kept = rng.permutation(len(base)) >= round(control.share * len(base))
    return np.where(kept, pool.numbers("train", base), pool.numbers(control.change, base))


class Tally:
    """Verdicts of many draws."""

    def __init__(self, gross: bool) -> None:
        self.gross, self.n, self.draws = gross, 0, 0
        self.outcomes: Counter[str] = Counter()
        self.against: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()

    def add(self, n: int, outcome: str, rules: list[Any], metrics: dict[str, float]) -> None:
        self.n, self.draws = n, self.draws + 1
        self.outcomes[outcome] += 1
        self.against.update(rule.rule for rule in rules if rule.outcome not in (PASS, "not applicable"))
        self.sums.update(metrics)

    def summary(self) -> dict[str, Any]:
        means = {key: value / self.draws for key, value in self.sums.items()}
        counts = {"outcomes": self.outcomes, "against": self.against}
        return {"gross": self.gross, "n": self.n, "draws": self.draws, "means": means, **counts}


def model_verdict(pool: Pool, name: str, n: int, views: list[View], draws: int) -> dict[str, Any]:
    """Verdicts on the first n samples of a model beside so many draws of unseen pictures."""
    found, asked = Tally(False), pool.asked[name][:n]
    samples = pool.numbers(name, np.arange(len(asked)))
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(pool.looked_at("held", views))[:n]
        found.add(len(samples), *pool.judged(samples, asked, pool.numbers("held", order), views, labels=True))
    return found.summary()


def trial(folder: Path, name: str, splits: int, draws: int, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """All that is asked of one data set."""
    models = {m.name: file_of(folder, m) for m in MODELS if m.data == name and file_of(folder, m).is_file()}
    pool = Pool(folder, name, load_params(PARAMS), models)
    result: dict[str, Any] = {"labels": pool.data.classes, "sizes": {}}
    for view in pool.views:
        pool.check(view, 100)
    for n in sizes:
        views = pool.judges(n, held=2 * n)
        if not views:
            continue
        found: dict[str, Any] = {"judges": [view.name for view in views], "models": {}}
        found["real"] = real_splits(pool, n, [view.real() for view in views], splits)
        found["controls"] = control_draws(pool, n, views, draws)
        for model in models:
            if all(view.has(model) for view in views):
                found["models"][model] = model_verdict(pool, model, n, views, draws)
        result["sizes"][str(n)] = found
    return result


def main() -> None:
    from gate_tables import tables

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    args = parser.parse_args()
    results = args.data / "results"
    results.mkdir(exist_ok=True)
    for name in args.sets:
        if any(args.data.glob(f"{name}.*.npz")):
            began = time.process_time()
            found, path = trial(args.data, name, args.splits, args.draws, tuple(args.sizes)), results / f"{name}.json"
            if path.is_file():  # of other sizes
                found["sizes"] = json.loads(path.read_text(encoding="utf-8"))["sizes"] | found["sizes"]
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
            print(f"{name}: {time.process_time() - began:.0f} CPU s", flush=True)
    print(f"\n{common.machine('numpy', 'torch', 'onnxruntime')}\n")
    print(tables({path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}))


if __name__ == "__main__":
    main()
