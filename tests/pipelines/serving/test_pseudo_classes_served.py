"""A model whose pictures were grouped is served as one without labels, and may be guided."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ddpm_core.errors import ParamsError
from ddpm_core.pseudo_classes import drawn, with_pseudo_classes
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.page.one_file import one_file
from tests.support.served import LIMITS, post
from tests.support.tiny_bundle import tiny_bundle, tiny_spec

SPEC = with_pseudo_classes(replace(tiny_spec(), conditions={}), [2, 1, 1])


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    folder = tmp_path_factory.mktemp("grouped") / "b"
    tiny_bundle(folder, spec=SPEC)
    return Sampler.open(folder, "cpu")


@pytest.fixture
def client(sampler: Sampler) -> Iterator[TestClient]:
    with TestClient(create_app(sampler, LIMITS)) as found:
        yield found


def test_it_names_no_class_and_a_picture_has_the_group_of_its_seed(client: TestClient, sampler: Sampler) -> None:
    assert client.get("/v1/model").json()["classes"] == []
    answer = post(client, seed=5, steps=6, guidance=1.0)
    assert answer.status_code == 200
    group = drawn(SPEC, np.array([3]), [5]).tolist()
    wanted = sampler.sample(sampler.recipe(steps=6, guidance=1.0), [5], {"label": group})[0]
    np.testing.assert_array_equal(decode_png(answer.content), wanted)


@pytest.mark.parametrize("label", ["cluster 1", 0])
def test_a_group_cannot_be_asked_for(client: TestClient, label: str | int) -> None:
    answer = post(client, label=label)
    assert answer.status_code == 422
    assert "trained without labels" in answer.text
    if isinstance(label, str):
        asked = client.post("/v1/images/generations", json={"prompt": label})
        assert asked.status_code == 400
        assert "trained without labels" in asked.text


def test_a_page_of_its_own_is_refused(sampler: Sampler, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"--bundle: must be a bundle of data that have labels"):
        one_file(sampler, tmp_path)
