"""One run of the whole chain, shared by the tests that look at it or go on from a copy of it."""

import os
from pathlib import Path

import pytest

from tests.support.project import Done, Project, kept_copy, tiny_project


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A tiny project after its first `ddpm run`, and what that said."""
    kept = os.environ.get("DDPM_TEST_CHAIN")  # a finished one, to try these tests quickly
    if kept:
        return Project(Path(kept) / "project", Path(kept) / "home"), Done(0, "")
    project = tiny_project(tmp_path_factory.mktemp("chain"))
    return project, project.ddpm("run")


@pytest.fixture
def finished(chain: tuple[Project, Done], tmp_path: Path) -> Project:
    """A copy of the finished project, free to be changed."""
    project, done = chain
    assert done.code == 0, done.text
    return kept_copy(project, tmp_path)
