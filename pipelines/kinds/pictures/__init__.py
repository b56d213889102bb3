"""Pictures: labelled or not, from folders, archives and data sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import DataSpec
from pipelines.kinds.kind import Augment, Kind, SampleConditions, Sections

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


class Pictures(Kind):
    """Pictures of one size, in levels."""

    name = "pictures"

    def sections(self) -> Sections:
        from ddpm_core.gate.config import PictureGate
        from ddpm_core.metrics.config import PictureEvaluateConfig
        from pipelines.kinds.pictures.contract.config import PicturesContract
        from pipelines.kinds.pictures.reference.config import ReferenceConfig
        from pipelines.kinds.pictures.sources import SourceConfig
        from pipelines.kinds.pictures.training.config import AugmentConfig
        from pipelines.kinds.split import PictureSplit

        return Sections(
            source=SourceConfig,
            split=PictureSplit,
            contract=PicturesContract,
            reference=ReferenceConfig,
            augment=AugmentConfig,
            evaluate=PictureEvaluateConfig,
            gate=PictureGate,
        )

    def data_words(self) -> str:
        from pipelines.kinds.pictures.profiling.recognise import ENDINGS

        return f"pictures ({', '.join(ENDINGS)})"

    def parameters_for(self, request: "ProfileRequest") -> "Chosen | None":
        from pipelines.kinds.pictures.profiling.parameters import parameters_for

        return parameters_for(request)

    def measuring_seconds(
        self, reference: Any, spec: DataSpec, arrays: "Arrays", device: Any, timed: "Timed"
    ) -> "MeasuringSeconds":
        from pipelines.kinds.pictures.profiling.cost import measuring_seconds

        return measuring_seconds(reference, spec, arrays, device, timed)

    def row_type(self) -> type["Row"]:
        from pipelines.kinds.pictures.rows.row import PictureRow

        return PictureRow

    def prepare(self, source: Any, split: Any, folder: Path, root: Path, workers: int) -> "Prepared":
        from pipelines.kinds.pictures.rows.prepare import prepare

        return prepare(source, split, folder, root, workers)

    def cautions(self, params: Any) -> Iterator[str]:
        from pipelines.kinds.pictures.advice import cautions

        return cautions(params)

    def declared_spec(self, source: Any) -> DataSpec | None:
        spec: DataSpec = source.rules().spec(())
        return spec

    def source_at(self, source: Any, place: Path) -> Any:
        from pipelines.kinds.pictures.sources.picture_table import PictureTable

        if isinstance(source, PictureTable) and place.is_file():
            return replace(source, path=str(place.parent), table=place.name)
        return super().source_at(source, place)

    def partition_plan(self, source: Any, split: Any, root: Path, mean: int) -> "PartitionPlan":
        from pipelines.kinds.pictures.rows.partition import partition_plan

        return partition_plan(source, split, root, mean)

    def suite_parameters(self, spec: DataSpec) -> Mapping[str, Any]:
        _, height, width = spec.shape
        return {"heights": [height], "widths": [width], "modes": [spec.mode]}

    def data_set_columns(self, rows: Sequence[Any]) -> Mapping[str, Any]:
        return {"mean_level": round(sum(row.mean for row in rows) / max(1, len(rows)), 6)}

    def conditioned(self, manifest: "Manifest", folder: Path) -> "Manifest":
        from pipelines.kinds.pictures.rows.rules import CLUSTERS

        if CLUSTERS not in manifest.spec.about:
            return manifest
        from pipelines.kinds.pictures.reference.grouping import grouped

        return grouped(manifest, folder, manifest.spec.about[CLUSTERS])

    def row_columns(self, rows: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        from pipelines.kinds.pictures.rows.groups import row_columns

        return row_columns(rows)

    def near_duplicates(self, rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
        from pipelines.kinds.pictures.rows.groups import groups_of

        return groups_of(rows)

    def shown(self, x: NDArray[Any], spec: DataSpec) -> bytes | None:
        from pipelines.kinds.pictures.rows.decode import grid

        return grid(x, 10, 2)

    def drift_values(self, rows: Sequence[Any]) -> Mapping[str, Sequence[float] | NDArray[np.float64]]:
        from pipelines.kinds.pictures.rows.groups import drift_values

        return drift_values(rows)

    def drift_features(self, x: NDArray[Any]) -> NDArray[np.float32]:
        from pipelines.kinds.pictures.rows.groups import drift_features

        return drift_features(x)

    def examples(self, folder: Path, rows: Sequence[Any], spec: DataSpec) -> Iterator["Example"]:
        from pipelines.kinds.pictures.rows.examples import examples

        return examples(folder, rows, spec)

    def check_batch(self, batch: "Arrays", spec: DataSpec, folder: Path) -> None:
        from pipelines.kinds.pictures.training.check import check

        check(batch, spec, folder)

    def augmenter(self, config: Any, seed: int, spec: DataSpec) -> Augment:
        from pipelines.kinds.pictures.training.augment import augmenter
        from pipelines.shards.archive import rows_of

        augment = augmenter(config, seed, spec)
        return lambda arrays, step, rows: {**rows_of(arrays, rows), "x": augment(arrays["x"], step, rows)}

    def preview(self, samples: NDArray[Any], cond: Mapping[str, NDArray[Any]], spec: DataSpec) -> bytes:
        from pipelines.kinds.pictures.rows.decode import grid, shown

        return grid(shown(samples, spec), 10, 2)

    def advice(self, judged: "Judged") -> "Iterator[Advice]":
        from pipelines.kinds.pictures.advice import advice

        return advice(judged)

    def report_sections(self, given: "ReportInput") -> "list[Section]":
        from pipelines.kinds.pictures.report.sections import sections

        return sections(given)

    def data_facts(self, given: "ReportInput") -> "Sequence[tuple[str, ...]]":
        from pipelines.kinds.pictures.report.sections import data_facts

        return data_facts(given)

    def serving(self) -> "Serving":
        from pipelines.kinds.pictures.serving import ServingPictures

        return ServingPictures()

    def make_reference(self, real: "RealData") -> tuple[dict[str, Any], dict[str, bytes]]:
        from pipelines.kinds.pictures.reference.build import build

        return build(real)

    def asked_of_test(self, test: "Split", spec: DataSpec, config: Any) -> SampleConditions:
        """Of pseudo-classes nothing is asked: the samples are judged as they ship, each with one drawn by its seed."""
        from ddpm_core.pseudo_classes import has_pseudo_classes

        return super().asked_of_test(test, spec.told(()) if has_pseudo_classes(spec) else spec, config)

    def measure(self, of: "Evaluation") -> "Measured":
        from pipelines.kinds.pictures.evaluation.measure import measure

        return measure(of)

    def closeness(self, of: "Evaluation") -> "Metric":
        from pipelines.kinds.pictures.evaluation.measure import closeness

        return closeness(of)
