"""Where pictures are cut into partitions, and by what the work on one is known again."""

from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.errors import DataError
from pipelines.kinds.partitioned import PartitionPlan, counted
from pipelines.kinds.pictures.rows.partition import partition_plan
from pipelines.kinds.pictures.rows.rules import File
from pipelines.kinds.pictures.sources.contents import Refused
from pipelines.partitions.store import PartitionStore
from tests.support.partitioned import MEAN, files, project_of
from tests.support.pictures import Project, write


def plan_of(project: Project) -> PartitionPlan:
    return partition_plan(project.source, project.split, project.paths.root, MEAN)


def names(plan: PartitionPlan) -> list[tuple[str, ...]]:
    return [tuple(found.name for found in part) for part in plan.parts]


def test_a_file_outside_of_the_class_folders_changes_its_own_partition_alone(tmp_path: Path) -> None:
    project = project_of(tmp_path, files())
    before = names(plan_of(project))
    write(project.raw, {"README.txt": b"about these pictures"})
    after = names(plan_of(project))
    assert len(set(before) - set(after)) <= 2
    assert sum({name[0] for name in part} >= {"a", "b"} for part in after) >= len(after) - 2


def test_a_refused_picture_has_the_reason_that_holds_now(tmp_path: Path) -> None:
    plan = plan_of(project_of(tmp_path / "1", files(0, 3)))
    store = PartitionStore(tmp_path / "store")
    reasons = []
    for reason in ("label 7 is none of 5", "label 7 is none of 6"):
        part = [replace(plan.parts[0][0], content=Refused.because(reason)), *plan.parts[0][1:]]
        key = plan.work(store, False)(part)
        reasons += [each.reason for each in counted([store.folder / key])[1]]
    assert reasons == ["label 7 is none of 5", "label 7 is none of 6"]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_picture_that_can_be_read_only_now_and_then_is_kept_under_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """A disk that fails once must not put a good picture into the quarantine of every later run."""
    plan = plan_of(project_of(tmp_path / "1", files(0, 3)))
    store = PartitionStore(tmp_path / "store")
    picture, read, calls = plan.parts[0][0], File.read, []

    def failing(self: File, limit: int) -> bytes:
        if self == picture.content:
            calls.append(self)
            if len(calls) == fails_at:
                raise DataError("cannot be read: Input/output error")
        return read(self, limit)

    monkeypatch.setattr(File, "read", failing)
    with pytest.raises(DataError, match=rf"{picture.name} changed while it was read; run prepare again"):
        plan.work(store, False)(plan.parts[0])
    assert not [place for place in store.folder.glob("*") if place.is_dir()]
