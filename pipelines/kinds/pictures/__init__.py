"""Pictures: labelled or not, from folders, archives and data sets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ddpm_core.spec import DataSpec
from pipelines.kinds.kind import Augment, Kind, Sections

if TYPE_CHECKING:
    from pipelines.serving.base.serving import Serving
    from pipelines.shards.archive import Arrays, Example


class Pictures(Kind):
    """Pictures of one size, in levels."""

    name = "pictures"

    def sections(self) -> Sections:
        from ddpm_core.metrics.config import EvaluateConfig
        from pipelines.kinds.pictures.contract.config import ContractConfig
        from pipelines.kinds.pictures.reference.config import ReferenceConfig
        from pipelines.kinds.pictures.sources import SourceConfig
        from pipelines.kinds.pictures.training.config import AugmentConfig

        return Sections(SourceConfig, ContractConfig, ReferenceConfig, AugmentConfig, EvaluateConfig)

    def examples(self, folder: Path, rows: Sequence[Any], spec: DataSpec) -> Iterator["Example"]:
        from pipelines.kinds.pictures.rows.examples import examples

        return examples(folder, rows, spec)

    def check_batch(self, batch: "Arrays", spec: DataSpec, folder: Path) -> None:
        from pipelines.kinds.pictures.training.check import check

        check(batch, spec, folder)

    def augmenter(self, config: Any, seed: int, spec: DataSpec) -> Augment:
        from pipelines.kinds.pictures.training.augment import augmenter

        return augmenter(config, seed, spec)

    def preview(self, samples: NDArray[Any], spec: DataSpec) -> bytes:
        from pipelines.kinds.pictures.rows.decode import grid

        return grid(samples, 10, 2)

    def serving(self) -> "Serving":
        from pipelines.kinds.pictures.serving import ServingPictures

        return ServingPictures()
