"""A kind of data from outside, in one file because it is a test: eight values of a wave each, without classes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.checks import Config
from ddpm_core.errors import DataError
from ddpm_core.files import json_bytes, sha256_bytes
from ddpm_core.gate.config import GateConfig
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.metrics.metric import Metric, Rule
from ddpm_core.scaling import Scaling
from ddpm_core.spec import DataSpec
from pipelines.contract.config import ContractConfig
from pipelines.evaluation.evaluation import Evaluation, Measured
from pipelines.evaluation.reference import RealData
from pipelines.kinds.facts import SourceFacts
from pipelines.kinds.kind import Augment, Kind, Sections
from pipelines.kinds.manifest import Row, read_file
from pipelines.kinds.prepared import Accepted, Prepared, assemble
from pipelines.kinds.quarantine import Rejected
from pipelines.kinds.split import SplitConfig
from pipelines.report.parts.chart import plot
from pipelines.report.parts.files import ReportInput
from pipelines.report.parts.section import Section, plots
from pipelines.serving.base.request import Request, SampleRequest
from pipelines.serving.base.serving import Samples, Serving
from pipelines.shards.archive import Arrays, Example, rows_of

LENGTH = 8
SUITE = {
    "files": [],
    "waves": [
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "file", "value_set": ["whole"]},
            "severity": "critical",
            "notes": "the file of every wave is there, with the bytes that the manifest names",
        }
    ],
    "classes": [],
    "data_set": [],
}


@dataclass(frozen=True)
class Sines(Config):
    """Waves of one frequency and any phase; every tenth is broken."""

    kind: Literal["sines"]
    path: str
    count: int

    def facts(self) -> SourceFacts:
        return SourceFacts(model_name="ddpm-waves", title="Waves")


@dataclass(frozen=True)
class NoKeys(Config):
    """A section that says nothing."""


class WaveRequest(SampleRequest):
    """Waves as JSON."""

    format: Literal["json"] = "json"


class ServingWaves(Serving):
    """Waves as a list of lists."""

    media: ClassVar = {"json": "application/json"}
    default_out = "waves.json"
    columns: ClassVar = {"first": "double"}

    def routes(self, spec: DataSpec) -> Mapping[str, type[Request]]:
        return {"/v1/waves": WaveRequest}

    def encode(self, samples: Samples, format: str) -> bytes:
        return json_bytes({"waves": samples.data[:, 0].tolist(), "seeds": list(samples.seeds)})

    def record(self, datum: NDArray[Any]) -> dict[str, Any]:
        return {"first": float(datum[0, 0])}


class Waves(Kind):
    """Eight float32 each."""

    name = "waves"

    def sections(self) -> Sections:
        return Sections(Sines, ContractConfig, NoKeys, NoKeys, EvaluateConfig, GateConfig, SplitConfig)

    def row_type(self) -> type[Row]:
        return Row

    def prepare(self, source: Sines, split: SplitConfig, folder: Path, root: Path, workers: int) -> Prepared:
        spec = DataSpec((1, LENGTH), None, None, {}, Scaling((0.0,), (0.7,)), "waves")
        return assemble(_waves(source.count), partial(_kept, folder), Row, spec, split)

    def examples(self, folder: Path, rows: Sequence[Row], spec: DataSpec) -> Iterator[Example]:
        for row in rows:
            yield Example(row.key, {"x": np.frombuffer(read_file(folder, row), np.float32).reshape(spec.shape)})

    def check_batch(self, batch: Arrays, spec: DataSpec, folder: Path) -> None:
        if not np.isfinite(batch["x"]).all():
            raise DataError(f"{folder}: waves must be finite")

    def augmenter(self, config: NoKeys, seed: int, spec: DataSpec) -> Augment:
        return lambda arrays, _step, rows: rows_of(arrays, rows)

    def preview(self, samples: NDArray[Any], cond: Mapping[str, NDArray[Any]], spec: DataSpec) -> bytes:
        return _drawn(samples)

    def make_reference(self, real: RealData) -> tuple[dict[str, Any], dict[str, bytes]]:
        return {"power": float(np.square(real.train.x).mean())}, {}

    def measure(self, of: Evaluation) -> Measured:
        rule = Rule("absolute", "max_energy", "power", "the samples have {value:.3f} of the power that is missing")
        off = abs(float(np.square(of.x).mean()) / of.reference.content["power"] - 1)
        metric = Metric("power", "power that the samples have too much or too little", "lower", rule=rule, value=off)
        return Measured((metric,), {}, {}, {"grid.png": _drawn(of.x)})

    def report_sections(self, given: ReportInput) -> list[Section]:
        return [Section("Waves", plots(given.samples.figure("grid.png", "waves").picture))]

    def data_facts(self, given: ReportInput) -> Sequence[tuple[str, ...]]:
        return [("values", str(LENGTH))]

    def serving(self) -> Serving:
        return ServingWaves()


def _waves(count: int) -> Iterator[Accepted | Rejected]:
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, count)
    for number, phase in enumerate(phases):
        wave = np.sin(phase + np.arange(LENGTH) * np.pi / 4).astype(np.float32)
        digest = sha256_bytes(wave.tobytes())
        if number % 10 == 9:
            yield Rejected(f"wave {number}", "broken", digest, wave.tobytes())
        else:
            yield Accepted(f"wave {number}", None, None, digest, digest, wave)


def _kept(folder: Path, key: str, label: int, accepted: Accepted) -> tuple[str, str]:
    (folder / f"{key}.f32").write_bytes(accepted.data.tobytes())
    return f"{key}.f32", sha256_bytes(accepted.data.tobytes())


def _drawn(waves: NDArray[Any]) -> bytes:
    def draw(axes: Any, theme: str) -> None:
        axes.plot(waves[:20, 0].T, color="C0")

    return plot("waves", "Waves", "waves", draw).png
