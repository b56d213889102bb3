"""Series over time, one or many, with values that may be missing: windows to forecast, or to fill."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ddpm_core.spec import DataSpec
from pipelines.kinds.kind import Augment, Kind, SampleConditions, Sections

if TYPE_CHECKING:
    from pipelines.evaluation.evaluation import Evaluation, Measured
    from pipelines.evaluation.reference import RealData
    from pipelines.kinds.advice import Advice, Judged
    from pipelines.kinds.choice import Chosen, ProfileRequest
    from pipelines.kinds.manifest import Row
    from pipelines.kinds.prepared import Prepared
    from pipelines.report.parts.files import ReportInput
    from pipelines.report.parts.section import Section
    from pipelines.serving.base.serving import Serving
    from pipelines.shards.archive import Arrays, Example, Split


class Series(Kind):
    """float32 [columns, steps] a window, shown to the network with mean 0 and standard deviation 1."""

    name = "series"

    def sections(self) -> Sections:
        from ddpm_core.gate.config import SeriesGate
        from pipelines.kinds.series.contract.config import SeriesContract
        from pipelines.kinds.series.evaluation.config import SeriesEvaluateConfig
        from pipelines.kinds.series.reference.config import ReferenceConfig
        from pipelines.kinds.series.sources import SourceConfig
        from pipelines.kinds.series.training import AugmentConfig
        from pipelines.kinds.split import SplitConfig

        return Sections(
            SourceConfig, SeriesContract, ReferenceConfig, AugmentConfig, SeriesEvaluateConfig, SeriesGate, SplitConfig
        )

    def data_words(self) -> str:
        from pipelines.kinds.table_profile import WORDS

        return WORDS

    def parameters_for(self, request: "ProfileRequest") -> "Chosen | None":
        from pipelines.kinds.series.profiling.choose import parameters_for

        return parameters_for(request)

    def row_type(self) -> type["Row"]:
        from pipelines.kinds.series.rows.row import WindowRow

        return WindowRow

    def prepare(self, source: Any, split: Any, folder: Path, root: Path, workers: int) -> "Prepared":
        from pipelines.kinds.series.rows.prepare import prepare

        return prepare(source, split, folder, root)

    def data_set_columns(self, rows: Sequence[Any]) -> Mapping[str, Any]:
        from pipelines.kinds.series.rows.rules import data_set_columns

        return data_set_columns(rows)

    def cure(self, broken: Collection[str], rows: Sequence[Any], spec: DataSpec, folder: Path) -> str:
        from pipelines.kinds.series.rows.rules import cure

        return cure(broken, rows, spec, folder)

    def drift_values(self, rows: Sequence[Any]) -> Mapping[str, Sequence[float]]:
        return {
            "share of values that are missing": [row.missing for row in rows],
            "largest deviation from the mean": [row.deviations for row in rows],
        }

    def examples(self, folder: Path, rows: Sequence[Any], spec: DataSpec) -> Iterator["Example"]:
        from pipelines.kinds.series.rows.examples import examples

        return examples(folder, rows, spec)

    def check_batch(self, batch: "Arrays", spec: DataSpec, folder: Path) -> None:
        from pipelines.kinds.series.training.check import check

        check(batch, spec, folder)

    def augmenter(self, config: Any, seed: int, spec: DataSpec) -> Augment:
        from pipelines.kinds.series.training.augment import augmenter

        return augmenter(config, seed, spec)

    def unaugmented(self, arrays: "Arrays", config: Any, seed: int, spec: DataSpec) -> "Arrays":
        from pipelines.kinds.series.training.augment import unaugmented

        return unaugmented(arrays, config, seed, spec)

    def preview_conditions(
        self, examples: "Callable[[], Arrays]", spec: DataSpec, n: int
    ) -> Mapping[str, NDArray[Any]]:
        from pipelines.kinds.series.rows.preview import conditions

        return conditions(examples(), spec, n)

    def preview(self, samples: NDArray[Any], cond: Mapping[str, NDArray[Any]], spec: DataSpec) -> bytes:
        from pipelines.kinds.series.rows.preview import preview

        return preview(samples, cond, spec)

    def make_reference(self, real: "RealData") -> tuple[dict[str, Any], dict[str, bytes]]:
        from pipelines.kinds.series.reference.build import build

        return build(real)

    def asked_of_test(self, test: "Split", spec: DataSpec, config: Any) -> SampleConditions:
        from pipelines.kinds.series.evaluation.asked import asked_of

        return asked_of(test, spec, config)

    def measure(self, of: "Evaluation") -> "Measured":
        from pipelines.kinds.series.evaluation.measure import measure

        return measure(of)

    def advice(self, judged: "Judged") -> "Iterator[Advice]":
        from pipelines.kinds.series.advice import advice

        return advice(judged)

    def report_sections(self, given: "ReportInput") -> "list[Section]":
        from pipelines.kinds.series.report.sections import sections

        return sections(given)

    def data_facts(self, given: "ReportInput") -> "Sequence[tuple[str, ...]]":
        from pipelines.kinds.series.report.sections import data_facts

        return data_facts(given)

    def serving(self) -> "Serving":
        from pipelines.kinds.series.serving import ServingSeries

        return ServingSeries()
