"""`ddpm serve` follows the alias of a registered model, in a real store."""

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ddpm_core.bundle.format import BUNDLE_FILE, MODEL_FILE, read_bundle
from ddpm_core.errors import IntegrityError, TrackingError
from ddpm_core.files import sha256_file
from pipelines.paths import Paths
from pipelines.release.registry_source import RegistrySource
from pipelines.serving.app import app_of
from pipelines.serving.follow import Follower
from pipelines.serving.hosted import Models
from tests.support.hosting import MANY, service_of
from tests.support.rolled_back import promoted, registry_of, rolled_back
from tests.support.served import post
from tests.support.tracked import empty_home, judged_project

Projects = list[Paths]


@pytest.fixture
def projects(store_template: Path, tmp_path: Path) -> Projects:
    """Three projects with a bundle each; the first one's is the champion."""
    home = empty_home(store_template, tmp_path / "state")
    made = [judged_project(tmp_path / f"project-{seed}", home, seed=seed)[0] for seed in range(3)]
    promoted(made[0])
    return made


def digest(project: Paths) -> str:
    return read_bundle(project.bundle).digest


def stored(project: Paths, below: Path) -> Path:
    """The store's copy of a project's bundle."""
    files = [file for file in below.rglob(BUNDLE_FILE) if sha256_file(file) == digest(project)]
    (folder,) = (file.parent for file in files if project.root not in file.parents)
    return folder


def following(home: Path, cache: Path, alias: str = "champion") -> tuple[Models, Follower]:
    follower = Follower("tiny", RegistrySource(home, "tiny", alias), cache, service_of)
    models = Models(MANY.waiting, MANY.at_once)
    models.add("tiny", follower.first())
    return models, follower


def test_the_service_follows_promotion_and_rollback_and_refuses_what_was_damaged(
    projects: Projects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = projects[0].home
    models, follower = following(home, tmp_path / "cache")
    with TestClient(app_of(models)) as client:

        def served() -> tuple[str, str]:
            follower.look(models)
            card = client.get("/v1/models").json()["data"][0]
            assert (card["follows"], card["failures"]) == ("alias champion", 0)
            assert post(client).headers["x-bundle"] == card["bundle"]
            return card["bundle"], card["version"]

        assert served() == (digest(projects[0]), "1")
        promoted(projects[1])
        assert served() == (digest(projects[1]), "2")
        rolled_back(projects[1])
        assert served() == (digest(projects[0]), "1")

        third = promoted(projects[2])
        registry = registry_of(projects[2])
        model = stored(projects[2], tmp_path) / MODEL_FILE
        whole = model.read_bytes()
        model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert registry.aliases()["champion"] == third.version == 3
        assert served() == (digest(projects[0]), "1")
        assert models.card()["refused"] == {"bundle": digest(projects[2]), "version": "3"}
        registry.point("champion", registry.versions()[1])
        assert served() == (digest(projects[1]), "2")
        assert models.card()["refused"] is None

    # The store goes away: nothing changes but a number, and a new start begins with what was served last.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    models, follower = following(home, tmp_path / "cache")
    for failures in (1, 2):
        card = models.card()
        assert (card["bundle"], card["version"], card["failures"]) == (digest(projects[1]), "2", failures)
        follower.look(models)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    follower.look(models)
    assert models.card()["failures"] == 0


def test_an_alias_that_does_not_exist_is_an_error_at_the_start(projects: Projects, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="alias `challenger`"):
        following(projects[0].home, tmp_path / "cache", "challenger")


def test_bytes_other_than_those_registered_are_refused(projects: Projects, tmp_path: Path) -> None:
    """The whole bundle is replaced in the store by another whole one."""
    home = projects[0].home
    folder = stored(projects[0], tmp_path)
    shutil.rmtree(folder)
    shutil.copytree(projects[1].bundle, folder)
    with pytest.raises(IntegrityError, match=digest(projects[0])[:16]):
        following(home, tmp_path / "cache")
