"""What a kind of data is: all that the stages, the service and the commands ask of it.

A stage finds its kind by the name that the DataSpec carries and calls these methods; no stage asks which kind it is.
Each method imports what it needs when it is called, so that a stage loads only what it runs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.spec import DataSpec, in_turn

if TYPE_CHECKING:
    from ddpm_core.metrics.metric import Metric
    from pipelines.evaluation.evaluation import Evaluation, Measured
    from pipelines.evaluation.reference import RealData
    from pipelines.kinds.advice import Advice, Judged
    from pipelines.kinds.choice import Chosen, MeasuringSeconds, ProfileRequest, Timed
    from pipelines.kinds.manifest import Manifest, Row
    from pipelines.kinds.partitioned import PartitionPlan
    from pipelines.kinds.prepared import Prepared
    from pipelines.report.parts.files import ReportInput
    from pipelines.report.parts.section import Section
    from pipelines.serving.base.serving import Serving
    from pipelines.shards.archive import Arrays, Example, Split

Augment = Callable[["Arrays", int, slice], "Arrays"]
"""(named arrays of a whole batch, step, rows) -> those rows of each array, changed: data are as they are kept."""


@dataclass(frozen=True)
class SampleConditions:
    """Of which datum of the test split each sample is, [n], and what the network is told of it, by name."""

    rows: NDArray[Any]
    cond: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Sections:
    """The types of those sections of params.yaml that differ from kind to kind; `augment` is `train.augment`.

    A source has `path`, a file or folder that DVC watches, and `facts() -> SourceFacts`. A contract is a
    `pipelines.contract.config.ContractConfig`; its suite is `contract/suite.json` in the kind's folder, with the tables
    `files`, the kind's name, `classes` and `data_set`. A gate is a `ddpm_core.gate.config.GateConfig` with
    the limits that the kind's metrics name.
    """

    source: Any
    contract: Any
    reference: Any
    augment: Any
    evaluate: Any
    gate: Any
    split: Any


class Kind(ABC):
    """One kind of data."""

    name: ClassVar[str]
    """As params.yaml and DataSpec say it, and its folder's name."""

    @abstractmethod
    def sections(self) -> Sections:
        """The types of its sections of params.yaml."""

    def declared_spec(self, source: Any) -> DataSpec | None:
        """The shape of the data, with no conditions, where section source says it; a network is checked against it
        before anything starts. None: it is known once the data are prepared."""
        return None

    def cautions(self, params: Any) -> Iterator[str]:
        """Choices in params.yaml that are allowed and seldom meant, in words, for `ddpm params` and `ddpm run`."""
        return iter(())

    def check_source(self, source: Any, root: Path) -> None:
        """Refuse keys of section source that name a file or column that the data have not: a ParamsError. It looks at
        the beginning of a file alone. A source that can say so has `check_columns(root)`, which raises a DataError."""
        try:
            if hasattr(source, "check_columns"):
                source.check_columns(root)
        except DataError as error:
            raise ParamsError(str(error)) from error

    # ---- `ddpm init --data`, before there is a project (pipelines/profiling)

    def data_words(self) -> str | None:
        """The files that it knows data of this kind by, in words; None: it does not look for any."""
        return None

    def parameters_for(self, request: "ProfileRequest") -> "Chosen | None":
        """The parameters that fit the data, each with its reason; None: they are not of this kind. DataError where they
        are, and cannot be used."""
        return None

    def measuring_seconds(
        self, reference: Any, spec: DataSpec, arrays: "Arrays", device: Any, timed: "Timed"
    ) -> "MeasuringSeconds":
        """What measuring takes on this machine; `reference` is that section, `arrays` are some prepared data."""
        from pipelines.kinds.choice import MeasuringSeconds

        return MeasuringSeconds()

    # ---- stages prepare and validate

    @abstractmethod
    def row_type(self) -> type["Row"]:
        """The type of a row of the manifest: `Row` and the columns that this kind adds."""

    @abstractmethod
    def prepare(self, source: Any, split: Any, folder: Path, root: Path, workers: int) -> "Prepared":
        """Read the source below the project's `root`, write to `folder` what can be used, and say what became of each
        datum. `workers` processes may decode."""

    def source_at(self, source: Any, place: Path) -> Any:
        """The same source with its data at another place, a folder or a file."""
        return replace(source, path=str(place))

    def partition_plan(self, source: Any, split: Any, root: Path, mean: int) -> "PartitionPlan":
        """The source cut into partitions of `mean` data on the average, for `partition.pictures`."""
        raise ParamsError(
            f"partition.pictures: must be null for kind {self.name}, whose data are prepared in one piece, got {mean}"
        )

    def suite_parameters(self, spec: DataSpec) -> Mapping[str, Any]:
        """What the suite's $PARAMETERs stand for, in addition to `labels` and the thresholds of section `contract`."""
        return {}

    def data_set_columns(self, rows: Sequence[Any]) -> Mapping[str, Any]:
        """What the contract looks at of all rows of the manifest together: more columns of its table `data_set`."""
        return {}

    def row_columns(self, rows: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """What the contract looks at of each row beside the others: more columns of its table of the data, by name."""
        return {}

    def near_duplicates(self, rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The rows of each group of near duplicates, where this kind looks for any."""
        return []

    def cure(self, broken: Collection[str], rows: Sequence[Any], spec: DataSpec, folder: Path) -> str:
        """What mends a breach of the contract in these columns of its table of the data; `folder` is data/prepared."""
        return "mend or remove those files"

    def shown(self, x: NDArray[Any], spec: DataSpec) -> bytes | None:
        """Some data beside each other as a PNG, in the order in which they are given, for people who look at what the
        contract says of them. x: [n, *shape], as data are kept. None: such data have no picture."""
        return None

    # ---- drift from the data that were accepted last (pipelines/validation)

    def drift_values(self, rows: Sequence[Any]) -> Mapping[str, Sequence[float] | NDArray[np.float64]]:
        """Numbers of each row by names in plain words, whose distributions are compared; none, if a kind names none."""
        return {}

    def drift_features(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Few numbers for each datum, whose distribution is compared. x: [n, *shape], as data are kept.

        Means of at most 64 parts of the last axis of each channel, if a kind says nothing else.
        """
        flat = x.reshape(len(x), -1, x.shape[-1]).astype(np.float32)
        parts = np.linspace(0, flat.shape[2], 1 + min(flat.shape[2], max(1, 64 // flat.shape[1]))).astype(int)
        means = np.add.reduceat(flat, parts[:-1], axis=2) / np.diff(parts)
        return means.reshape(len(x), -1).astype(np.float32)

    # ---- stage shard

    def conditioned(self, manifest: "Manifest", folder: Path) -> "Manifest":
        """The manifest with all that the network is told of each datum; `folder` is data/prepared. A kind may group
        data here that have no labels; the manifest on disk stays as it is."""
        return manifest

    @abstractmethod
    def examples(self, folder: Path, rows: Sequence[Any], spec: DataSpec) -> Iterator["Example"]:
        """The prepared data of these rows of the manifest, as named arrays; `folder` is data/prepared."""

    # ---- stage train

    @abstractmethod
    def check_batch(self, batch: "Arrays", spec: DataSpec, folder: Path) -> None:
        """Look at the first batch before any step; DataError where there is nothing to learn from."""

    @abstractmethod
    def augmenter(self, config: Any, seed: int, spec: DataSpec) -> Augment:
        """What happens to data before the network sees them: a function of (seed, step, place in the batch)."""

    def unaugmented(self, arrays: "Arrays", config: Any, seed: int, spec: DataSpec) -> "Arrays":
        """Held-out data, as the network is judged on them during a training: unchanged, if a kind says nothing else."""
        return arrays

    def preview_conditions(
        self, examples: "Callable[[], Arrays]", spec: DataSpec, n: int
    ) -> Mapping[str, NDArray[Any]]:
        """What the network is told of n samples of a preview: the classes in turn. `examples` gives training data."""
        return in_turn(spec, n)

    @abstractmethod
    def preview(self, samples: NDArray[Any], cond: Mapping[str, NDArray[Any]], spec: DataSpec) -> bytes:
        """Some samples of a network in training, and what it was told of them, as a PNG."""

    # ---- stage report, from what stage evaluate wrote into out/samples. One file there has the same name for every
    # kind: grid.png, a picture of some samples, which `ddpm compare` shows of two runs.

    @abstractmethod
    def report_sections(self, given: "ReportInput") -> "list[Section]":
        """What the report shows of such data. The first section opens the page, the others follow the controls.

        pipelines/report/parts has what they are made of: section.py (text, pictures, tables), chart.py (plots), and
        contrasts.py and steps.py (tables that any kind may show).
        """

    @abstractmethod
    def data_facts(self, given: "ReportInput") -> "Sequence[tuple[str, ...]]":
        """Names and values for the section about the data: the shape in words, and what else is known of them."""

    def advice(self, judged: "Judged") -> "Iterator[Advice]":
        """What to try where rules of this kind's own metrics block, the most likely remedy first; for `ddpm explain`,
        which adds what holds for every kind."""
        return iter(())

    # ---- `ddpm sample`, `ddpm edit`, `ddpm serve` and the registered model

    @abstractmethod
    def serving(self) -> "Serving":
        """How its samples are asked for and answered; loads no torch and no tracker."""

    # ---- stages reference and evaluate

    @abstractmethod
    def make_reference(self, real: "RealData") -> tuple[dict[str, Any], dict[str, bytes]]:
        """What real data look like to its measures: what reference.json says of it, and the other files by name."""

    def asked_of_test(self, test: "Split", spec: DataSpec, config: Any) -> SampleConditions:
        """What samples stage evaluate makes: as the test split has its conditions, in a random order."""
        from ddpm_core.metrics.labels import asked_rows

        rows = asked_rows(len(test), config.samples(len(test)), config.seed)
        return SampleConditions(rows, {name: test.cond[name][rows] for name in spec.conditions})

    @abstractmethod
    def measure(self, of: "Evaluation") -> "Measured":
        """Measure samples beside real data. Among the files is `grid.png`, a picture of some samples."""

    def closeness(self, of: "Evaluation") -> "Metric":
        """How far samples are from real data, lower is better: what `ddpm tune-sampler` searches by.

        `of.test` stands for unseen data and is a part of the training split. The first metric that champions are
        compared by, if a kind says nothing else.
        """
        return next(metric for metric in self.measure(of).metrics if metric.champion)
