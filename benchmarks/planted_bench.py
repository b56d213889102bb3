"""For benchmarks/planted_faults.py: pictures with all that is measured of them, and which rules block them."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from planted_pools import SUBSETS

from ddpm_core.metrics import measure
from ddpm_core.metrics.comparison import compare
from ddpm_core.metrics.intervals import RESAMPLING
from ddpm_core.metrics.measure import Found, Trust
from ddpm_core.metrics.measurement import Measurement, encoded
from ddpm_core.metrics.memorisation import Nearest, nearest
from ddpm_core.metrics.verdict import verdict
from pipelines.params import load_params
from pipelines.tools.features import CLASSIFIER_NAME, classifier_extractor, extract
from pipelines.tools.reference_store import read_reference
from pipelines.tools.shards import read_index, read_split

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
        found.add(measure.distances("fcd", samples.features, samples.labels, self.real, config.floor_draws, trust))
        found.metrics["accuracy_heldout"] = float(self.reference.content["classifier"]["accuracy"])
        found.add(measure.accuracy(samples.labels, samples.logits.argmax(axis=1), trust))
        conditions = {"distances": ["fcd"], "conditional": True, "classes": len(self.spec.classes), "n": n}
        conditions |= {"resampling": RESAMPLING}
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
