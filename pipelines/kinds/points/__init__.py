"""Points in the plane, with a class each or none: the smallest whole kind of data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import LABEL, DataSpec
from pipelines.kinds.kind import Augment, Kind, Sections

if TYPE_CHECKING:
    from pipelines.evaluation.evaluation import Evaluation, Measured
    from pipelines.evaluation.reference import RealData
    from pipelines.kinds.choice import Chosen, ProfileRequest
    from pipelines.kinds.manifest import Row
    from pipelines.kinds.prepared import Prepared
    from pipelines.report.parts.files import ReportInput
    from pipelines.report.parts.section import Section
    from pipelines.serving.base.serving import Serving
    from pipelines.shards.archive import Arrays, Example


class Points(Kind):
    """Two float32 a point, shown to the network with mean 0 and standard deviation 1."""

    name = "points"

    def sections(self) -> Sections:
        from ddpm_core.gate.config import LikenessGate
        from pipelines.kinds.points.contract.config import PointsContract
        from pipelines.kinds.points.evaluation.config import PointsEvaluateConfig
        from pipelines.kinds.points.reference.config import ReferenceConfig
        from pipelines.kinds.points.sources import SourceConfig
        from pipelines.kinds.points.training import AugmentConfig
        from pipelines.kinds.split import SplitConfig

        return Sections(
            SourceConfig,
            PointsContract,
            ReferenceConfig,
            AugmentConfig,
            PointsEvaluateConfig,
            LikenessGate,
            SplitConfig,
        )

    def data_words(self) -> str:
        from pipelines.kinds.table_profile import WORDS

        return WORDS

    def parameters_for(self, request: "ProfileRequest") -> "Chosen | None":
        from pipelines.kinds.points.profiling.choose import parameters_for

        return parameters_for(request)

    def row_type(self) -> type["Row"]:
        from pipelines.kinds.points.rows.table import PointRow

        return PointRow

    def prepare(self, source: Any, split: Any, folder: Path, root: Path, workers: int) -> "Prepared":
        from pipelines.kinds.points.rows.prepare import prepare

        return prepare(source, split, folder, root)

    def drift_values(self, rows: Sequence[Any]) -> Mapping[str, Sequence[float]]:
        return {"x": [row.x for row in rows], "y": [row.y for row in rows]}

    def examples(self, folder: Path, rows: Sequence[Any], spec: DataSpec) -> Iterator["Example"]:
        from pipelines.kinds.points.rows.examples import examples

        return examples(folder, rows, spec)

    def check_batch(self, batch: "Arrays", spec: DataSpec, folder: Path) -> None:
        from pipelines.kinds.points.training.check import check

        check(batch, spec, folder)

    def augmenter(self, config: Any, seed: int, spec: DataSpec) -> Augment:
        from pipelines.shards.archive import rows_of

        return lambda arrays, _step, rows: rows_of(arrays, rows)

    def preview(self, samples: NDArray[Any], cond: Mapping[str, NDArray[Any]], spec: DataSpec) -> bytes:
        from pipelines.kinds.points.rows.scatter import Cloud, scatter

        return scatter([Cloud("samples", samples, cond.get(LABEL, np.zeros(len(samples), dtype=np.int64)))])

    def make_reference(self, real: "RealData") -> tuple[dict[str, Any], dict[str, bytes]]:
        from pipelines.kinds.points.reference.build import build

        return build(real)

    def measure(self, of: "Evaluation") -> "Measured":
        from pipelines.kinds.points.evaluation.measure import measure

        return measure(of)

    def report_sections(self, given: "ReportInput") -> "list[Section]":
        from pipelines.kinds.points.report.sections import sections

        return sections(given)

    def data_facts(self, given: "ReportInput") -> "list[tuple[str, str]]":
        from pipelines.kinds.points.report.sections import data_facts

        return data_facts(given)

    def serving(self) -> "Serving":
        from pipelines.kinds.points.serving import ServingPoints

        return ServingPoints()
