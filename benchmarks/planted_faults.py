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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import planted_pools as pools
import torch
from planted_pools import FULL, SMALL, SUBSETS

from ddpm_core.metrics import measure
from ddpm_core.metrics.comparison import compare
from ddpm_core.metrics.measure import Found, Trust
from ddpm_core.metrics.measurement import Measurement, encoded
from ddpm_core.metrics.memorisation import Nearest, nearest
from ddpm_core.metrics.verdict import verdict
from pipelines.params import load_params
from pipelines.tools.features import CLASSIFIER_NAME, classifier_extractor, extract
from pipelines.tools.reference_store import read_reference
from pipelines.tools.shards import read_index, read_split

DRAWS = 200
LOSSES = (0.5, 1.0, 1.5, 2.0, 3.0)
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Samples:
    """Pictures with the labels asked for, and all that is measured of each picture by itself."""

    images: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def take(self, rows: np.ndarray) -> "Samples":
        return Samples(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: list["Samples"]) -> "Samples":
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


class Bench:
    """The default data, its reference, and what the stage measures of any pictures."""

    def __init__(self, project: Path, cache: Path) -> None:
        self.project, self.cache = project, cache
        self.params = load_params(Path("params.yaml"))
        shards = project / "data" / "shards"
        self.spec = read_index(shards).spec
        self.train, self.test = read_split(shards, "train"), read_split(shards, "test")
        self.reference = read_reference(project / "out" / "reference")
        self.classifier = classifier_extractor(self.reference.files[CLASSIFIER_NAME], self.spec, CPU)
        self.real, _ = self.reference.real("classifier")

    @cached_property
    def unseen(self) -> Nearest:
        return nearest(self.test.images, self.train.images, self.params.evaluate.copy_shift)

    def seen(self, images: np.ndarray, labels: np.ndarray) -> Samples:
        found = extract(self.classifier, images, 250, CPU, "samples")
        near = nearest(images, self.train.images, self.params.evaluate.copy_shift)
        return Samples(images, labels, found.features, found.logits, near.first, near.second)

    def pool(self, name: str, subset: int) -> Samples:
        """A subset with its features, which are kept beside its pictures."""
        kept = self.cache / f"{name}-{subset:02d}.features.npz"
        if not kept.is_file():
            with np.load(self.cache / f"{name}-{subset:02d}.npz") as arrays:
                found = self.seen(arrays["images"], arrays["labels"])
            partial = kept.with_suffix(".part.npz")
            np.savez(partial, **vars(found))
            partial.rename(kept)
        with np.load(kept) as arrays:
            return Samples(**{name: arrays[name] for name in arrays.files})

    @cached_property
    def healthy(self) -> list[Samples]:
        return [self.pool("healthy", subset) for subset in range(SUBSETS)]

    def measured(self, samples: Samples, golden: float = 0.0) -> Measurement:
        """As stage evaluate measures, without what no rule looks at."""
        config = self.params.evaluate
        trust = Trust(config.resamples, config.seed, config.confidence)
        n = len(samples.labels)
        found = Found({"n": n, "n_heldout": len(self.test.images), "golden_difference": golden}, {}, {})
        near = Nearest(samples.first, samples.second, np.zeros(n, dtype=np.int64))
        found.metrics.update(
            measure.copies(near, self.unseen, config.copy_quantile, config.copy_ratio, config.confidence)
        )
        found.metrics.update(measure.pixel_faults(samples.images, self.test.images, 255))
        found.add(measure.distances("fcd", samples.features, self.real, config.floor_draws, trust))
        found.metrics["accuracy_heldout"] = float(self.reference.content["classifier"]["accuracy"])
        found.add(measure.accuracy(samples.labels, samples.logits, len(self.spec.classes), trust))
        conditions = {"distances": ["fcd"], "conditional": True, "classes": len(self.spec.classes), "n": n}
        record = {
            "conditions": {**conditions, "settings": asdict(config)},
            "provenance": {"bundle": "planted"},
            "replicates": encoded(found.replicates),
        }
        return Measurement(found.metrics, record)

    def blocking(self, samples: Samples, champion: Samples, golden: float = 0.0) -> dict[str, list[str]]:
        """The rules that block these samples: of the gate, and beside a champion."""
        gate = replace(self.params.gate, min_images=min(self.params.gate.min_images, 100))
        mine = self.measured(samples, golden)
        rules = verdict(mine.metrics, mine.record, gate).rules
        beside = compare(mine, self.measured(champion), gate)
        blocks = [
            [rule.rule for rule in some if rule.outcome not in ("pass", "not applicable")] for some in (rules, beside)
        ]
        return {"gate": blocks[0], "champion": blocks[1]}


# ---- faults made of healthy samples


def one_class(bench: Bench, subset: int) -> tuple[Samples, Samples]:
    """Whatever is asked for, the same digit comes: 100 of them a subset, for there are not many more."""
    commonest = int(np.bincount(bench.test.labels).argmax())
    own = Samples.joined([each.take(each.labels == commonest) for each in bench.healthy])
    rows = np.arange(subset * 100, subset * 100 + 100)
    champion = bench.healthy[subset].take(np.arange(100))
    return replace(own.take(rows), labels=champion.labels), champion


def missing_class(bench: Bench, subset: int) -> tuple[Samples, Samples]:
    """No 8 is ever made or asked for; other samples stand in their place."""
    healthy, other = bench.healthy[subset], bench.healthy[(subset + 1) % SUBSETS]
    gone = healthy.labels == 8
    others = other.take(np.flatnonzero(other.labels != 8)[: gone.sum()])
    return Samples.joined([healthy.take(~gone), others]), healthy


def copies(change: Callable[[np.ndarray, np.random.Generator], np.ndarray], asked_label: bool = True) -> Any:
    def planted(bench: Bench, subset: int) -> tuple[Samples, Samples]:
        """Training images in place of 1 % of the samples (11 of 1,027)."""
        rng = np.random.default_rng([77, subset])
        healthy = bench.healthy[subset]
        rows = rng.choice(len(healthy.labels), round(0.01 * FULL) + 1, replace=False)
        taken = np.array([rng.choice(np.flatnonzero(bench.train.labels == label)) for label in healthy.labels[rows]])
        stolen = bench.seen(change(bench.train.images[taken], rng), healthy.labels[rows])
        kept = healthy.take(np.setdiff1d(np.arange(len(healthy.labels)), rows))
        return Samples.joined([kept, stolen]), healthy

    return planted


def renoised(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x = images / 127.5 - 1
    x = np.sqrt(1 - 0.1**2) * x + 0.1 * rng.standard_normal(x.shape)
    levels: np.ndarray = np.clip(np.rint((x + 1) * 127.5), 0, 255).astype(np.uint8)
    return levels


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    down, across = rng.permutation([0, rng.choice([-1, 1])])
    moved: np.ndarray = np.roll(images, (int(down), int(across)), axis=(-2, -1))
    return moved


def whole(change: Callable[[np.ndarray], np.ndarray]) -> Any:
    def planted(bench: Bench, subset: int) -> tuple[Samples, Samples]:
        healthy = bench.healthy[subset]
        return bench.seen(change(healthy.images), healthy.labels), healthy

    return planted


def sampled(name: str) -> Any:
    def planted(bench: Bench, subset: int) -> tuple[Samples, Samples]:
        return bench.pool(name, subset), bench.healthy[subset].take(np.arange(SMALL))

    return planted


FAULTS: Mapping[str, tuple[str, Any]] = {
    "one class only": ("100", one_class),
    "one class missing": ("1,027", missing_class),
    "1 % copies, exact": ("1,027", copies(lambda images, rng: images)),
    "1 % copies, noise of 10 %": ("1,027", copies(renoised)),
    "1 % copies, shifted by a pixel": ("1,027", copies(shifted)),
    "inverted colours": ("1,027", whole(lambda images: 255 - images)),
    "vertical flip": ("1,027", whole(lambda images: images[..., ::-1, :].copy())),
    "raw weights, no average": ("103", sampled("raw")),
    "wrong schedule at sampling": ("103", sampled("linear")),
    "network told t + 1": ("103", sampled("late")),
    "no clip": ("103", sampled("unclipped")),
    "a quarter of the steps": ("103", sampled("quarter")),
    "untrained network": ("103", sampled("untrained")),
}


# ---- faults that show elsewhere


def golden_differences(project: Path, cache: Path) -> dict[str, float]:
    """Levels by which the golden image differs, where the code that samples has the fault."""
    from ddpm_core.diffusion import bounds

    found = {
        "healthy": pools.as_built(project, cache),
        "wrong schedule at sampling": pools.with_linear_schedule(project, cache),
        "network told t + 1": pools.one_level_late(project, cache),
        "truncation": pools.truncating(project, cache),
    }
    differences = {name: float(sampler.golden_difference() or 0.0) for name, sampler in found.items()}
    kept = bounds.operator
    try:
        bounds.operator = lambda *_: None
        differences["no clip"] = float(pools.as_built(project, cache).golden_difference() or 0.0)
    finally:
        bounds.operator = kept
    return differences


def flipped_bits(project: Path, cache: Path) -> int:
    """Of 20 bundles with one bit flipped in a file, how many are refused when they are read."""
    from ddpm_core.bundle import read_bundle
    from ddpm_core.errors import IntegrityError

    rng, refused = np.random.default_rng(3), 0
    folder = cache / "flipped"
    folder.mkdir(exist_ok=True)
    for trial in range(20):
        for name in ("model.onnx", "bundle.json"):
            data = bytearray((project / "out" / "bundle" / name).read_bytes())
            if (name == "bundle.json") == (trial % 4 == 0):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            (folder / name).write_bytes(data)
        try:
            read_bundle(folder)
        except IntegrityError:
            refused += 1
    return refused


# ---- a model against itself


def against_itself(bench: Bench, draw: int) -> dict[str, Any]:
    """Two disjoint draws of 1,027 from the healthy pool, each of its own seeds: which rules block?"""
    everything = Samples.joined(bench.healthy)
    order = np.random.default_rng([99, draw]).permutation(len(everything.labels))
    one, other = (bench.measured(everything.take(order[start : start + FULL])) for start in (0, FULL))
    gate = bench.params.gate
    blocked = [rule.rule for rule in verdict(one.metrics, one.record, gate).rules if rule.outcome != "pass"]
    worse = {
        str(loss): [
            rule.rule for rule in compare(one, other, replace(gate, max_champion_loss=loss)) if rule.outcome != "pass"
        ]
        for loss in LOSSES
    }
    return {
        "gate": blocked,
        "champion": worse,
        "ratio_train": one.metrics["fcd_ratio_train"],
        "ratio_test": one.metrics["fcd_ratio_test"],
    }


# ---- the work, in pieces


def pieces(bench: Bench) -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in FAULTS:
        yield name, partial(_judged, bench, name)
    yield "golden", partial(golden_differences, bench.project, bench.cache)
    yield "flipped", partial(flipped_bits, bench.project, bench.cache)
    for start in range(0, DRAWS, 25):
        yield f"itself {start:03d}", partial(_against_itself, bench, range(start, start + 25))


def _judged(bench: Bench, name: str) -> list[dict[str, list[str]]]:
    return [bench.blocking(*FAULTS[name][1](bench, subset)) for subset in range(SUBSETS)]


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


def table(cache: Path) -> Iterator[str]:
    yield "| fault | n | blocked by the gate | beside the healthy champion | rules of the gate that block |"
    yield "|---|---|---|---|---|"
    for name, (n, _) in FAULTS.items():
        if not place(cache, name).is_file():
            continue
        scores = json.loads(place(cache, name).read_text())
        counts = Counter(rule for each in scores for rule in each["gate"])
        rules = ", ".join(f"{rule} {count}" for rule, count in counts.most_common()) or "none"
        blocked, beside = (sum(bool(each[kind]) for each in scores) for kind in ("gate", "champion"))
        yield f"| {name} | {n} | {blocked} of {len(scores)} | {beside} of {len(scores)} | {rules} |"
    yield ""
    for name in ("golden", "flipped"):
        if place(cache, name).is_file():
            yield f"{name}: {place(cache, name).read_text()}"
    files = sorted((cache / "scores").glob("itself-*.json"))
    draws = [draw for file in files for draw in json.loads(file.read_text())]
    yield f"{len(draws)} draws of the model against itself: {sum(bool(d['gate']) for d in draws)} blocked by the gate"
    for loss in LOSSES:
        counts = Counter(rule for d in draws for rule in d["champion"][str(loss)])
        blocked = sum(bool(draw["champion"][str(loss)]) for draw in draws)
        yield f"beside itself as champion, max_champion_loss {loss:g}: {blocked} blocked {dict(counts)}"
    for split in ("train", "test"):
        values = np.array([d[f"ratio_{split}"] for d in draws])
        yield (
            f"fcd_ratio_{split}: mean {values.mean():.3f}, standard deviation {values.std():.3f}" if len(values) else ""
        )


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
        print("\n".join(table(args.cache)))


if __name__ == "__main__":
    main()
