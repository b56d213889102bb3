"""What tests of a rollback call: promote, roll back, and what the registry then holds."""

from pipelines.paths import Paths
from pipelines.release.history import is_held_back
from pipelines.release.promotion import Promotion, promote
from pipelines.release.rollback import Rollback, roll_back
from pipelines.tracking.mlflow_registry import Registry
from pipelines.tracking.tracker import connect, open_tracker
from tests.support.tracked import FewParams


def promoted(paths: Paths, again: str | None = None) -> Promotion:
    return promote(FewParams(), paths, open_tracker(True, paths.home), again)  # type: ignore[arg-type]


def rolled_back(paths: Paths, wanted: int | None = None, why: str = "sevens", *, again: bool = False) -> Rollback:
    return roll_back(FewParams(), paths, open_tracker(True, paths.home), wanted, why, again=again)  # type: ignore[arg-type]


def registry_of(paths: Paths) -> Registry:
    return Registry(connect(paths.home), "tiny")


def held_back(paths: Paths) -> list[int]:
    return [version.number for version in registry_of(paths).versions() if is_held_back(version)]
