"""Several models behind one service: chosen by name, listed, limited, unloaded and loaded again."""

import asyncio
import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ddpm_core.bundle.format import read_bundle
from ddpm_core.errors import DdpmError, IntegrityError
from pipelines.serving.app import app_of
from pipelines.serving.hosted import Models, Version
from pipelines.serving.service import Service
from pipelines.serving.sources import FolderSource
from pipelines.serving.start import ONLY_MODEL, Hosting, open_models
from tests.support.hosting import MANY, put, service_of, versions
from tests.support.series_bundle import series_bundle, series_spec
from tests.support.served import post, served

START = "2026-01-01T00:00"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    first, second = versions(folder, 2)
    for task in ("forecast", "impute"):
        series_bundle(folder / task, series_spec(task))
    return {"one": first, "two": second, "forecast": folder / "forecast", "impute": folder / "impute"}


def opened(bundles: dict[str, Path], *names: str, most: int | None = None) -> Models:
    models = Models(MANY.waiting, MANY.at_once, most)
    for name in names:
        bundle = read_bundle(bundles[name])
        models.add(name, Version(service_of(bundle), lambda bundle=bundle: service_of(bundle), "7", 1_700_000_000))  # type: ignore[misc]
    return models


def test_models_of_several_kinds_are_asked_by_name_or_by_their_route(bundles: dict[str, Path]) -> None:
    digests = {name: read_bundle(folder).digest for name, folder in bundles.items()}
    with TestClient(app_of(opened(bundles, "one", "two", "forecast", "impute"))) as client:
        asked = ((None, "one"), ("one", "one"), ("two", "two"))
        contents = []
        for name, answers in asked:
            answer = post(client, seed=4, **({} if name is None else {"model": name}))
            assert answer.headers["x-bundle"] == digests[answers]
            contents.append(answer.content)
        assert contents[0] == contents[1] != contents[2]
        history = {"history": [[1.0, 2.0]] * 6, "start": START, "horizon": 2}
        for name, answers in ((None, "forecast"), ("impute", "impute")):
            body = history if name is None else {**history, "model": name}
            answer = client.post("/v1/forecasts", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["made_by"]["bundle"] == answer.headers["x-bundle"] == digests[answers]


def test_openai_s_route_asks_the_first_model_of_pictures(bundles: dict[str, Path]) -> None:
    with TestClient(app_of(opened(bundles, "forecast", "one"))) as client:
        answer = client.post("/v1/images/generations", json={"prompt": "one", "seed": 1})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-bundle"] == read_bundle(bundles["one"]).digest
        answer = client.post("/v1/images/generations", json={"prompt": "one", "model": "forecast"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


def test_a_model_that_is_unknown_or_of_another_route_is_refused_by_its_field(bundles: dict[str, Path]) -> None:
    with TestClient(app_of(opened(bundles, "one", "forecast"))) as client:
        answer = post(client, model="six")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert "six" not in answer.text
        answer = post(client, model="forecast")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "invalid_request")
        assert [field["field"] for field in error["fields"]] == ["model"]
        assert "/v1/forecasts" in error["message"]
        assert post(client, model=3).json()["error"]["fields"][0]["field"] == "model"


def test_the_list_has_openai_s_shape_and_says_what_really_runs(bundles: dict[str, Path]) -> None:
    with TestClient(app_of(opened(bundles, "one", "forecast"))) as client:
        listed = client.get("/v1/models").json()
        assert listed["object"] == "list"
        assert [card["id"] for card in listed["data"]] == ["one", "forecast"]
        card = listed["data"][0]
        assert (card["object"], card["owned_by"], card["created"]) == ("model", "ddpm", 1_700_000_000)
        assert (card["kind"], card["bundle"], card["version"]) == ("pictures", read_bundle(bundles["one"]).digest, "7")
        assert (card["device"], card["provider"], card["loaded"]) == ("cpu", "CPUExecutionProvider", True)
        assert card["limits"]["cost"] == 1000
        assert card["bytes"] == (bundles["one"] / "model.onnx").stat().st_size
        one = client.get("/v1/models/one").json()
        assert one == {**client.get("/v1/model").json(), **card}
        assert one["classes"] == ["zero", "one", "two"]
        missing = client.get("/v1/models/six")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_each_model_has_its_limits(bundles: dict[str, Path]) -> None:
    own = {"one": replace(MANY, cost=4, body_bytes=200), "two": MANY}
    hosting = Hosting("cpu", 1, None, Path("unused"), 60.0)
    models = Models(MANY.waiting, MANY.at_once)
    for name, limits in own.items():
        bundle = read_bundle(bundles[name])
        models.add(name, Version(service_of(bundle, limits), lambda: pytest.fail("opened again")))
    assert hosting.most_loaded is None
    with TestClient(app_of(models)) as client:
        assert post(client, model="two", steps=5).status_code == 200
        answer = post(client, model="one", steps=5)
        assert (answer.json()["error"]["code"], answer.json()["error"]["limit"]) == ("too_costly", 4)
        for size, name, status in ((200, "one", 200), (201, "one", 413), (201, "two", 200), (4097, "two", 413)):
            body = json.dumps({"model": name}).ljust(size).encode()
            answer = client.post("/v1/images", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, (size, name)


def loaded(models: Models) -> list[str]:
    return [card["id"] for card in models.cards() if card["loaded"]]


def test_the_least_recently_used_model_is_unloaded_and_loaded_again_on_demand(bundles: dict[str, Path]) -> None:
    models = opened(bundles, "one", "two", "forecast", most=2)
    assert loaded(models) == ["two", "forecast"]
    with TestClient(app_of(models)) as client:
        first = post(client, seed=2, model="two").content
        assert post(client, seed=2, model="one").status_code == 200
        assert loaded(models) == ["one", "two"]
        assert client.post("/v1/forecasts", json={"history": [[1.0, 2.0]] * 6, "start": START}).status_code == 200
        assert loaded(models) == ["one", "forecast"]
        assert client.get("/v1/models/two").json()["classes"] == ["zero", "one", "two"]
        assert loaded(models) == ["one", "forecast"]
        assert post(client, seed=2, model="two").content == first
        assert loaded(models) == ["two", "forecast"]


def test_what_is_unloaded_leaves_memory(bundles: dict[str, Path]) -> None:
    models = opened(bundles, "one", "two", most=1)

    async def use() -> weakref.ref[Service]:
        service = weakref.ref(await models.get("one"))
        assert loaded(models) == ["one"]
        assert (await models.get("two")).sampler.bundle.digest == read_bundle(bundles["two"]).digest
        return service

    service = asyncio.run(use())
    gc.collect()
    assert service() is None


def test_a_model_that_is_unloaded_while_it_is_asked_for_still_answers(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may unload it after any look at it: the first look decides."""
    models = opened(bundles, "one")
    service = service_of(read_bundle(bundles["one"]))
    looks = iter([service])
    unloading = property(lambda _model: next(looks, None))
    monkeypatch.setattr("pipelines.serving.hosted._Model.service", unloading, raising=False)
    assert asyncio.run(models.get("one")) is service


def test_a_switch_of_an_unloaded_model_leaves_it_unloaded(bundles: dict[str, Path]) -> None:
    models = opened(bundles, "one", "forecast", most=1)
    new = read_bundle(bundles["two"])
    models.switch("one", Version(service_of(new), lambda: service_of(new)))
    assert loaded(models) == ["forecast"]
    with TestClient(app_of(models)) as client:
        assert post(client).headers["x-bundle"] == new.digest


def test_a_switch_during_a_load_is_not_undone(bundles: dict[str, Path]) -> None:
    """The request gets the version that it began to load; the next one gets the new one."""
    models = opened(bundles, "one", "forecast", most=1)
    old, new = read_bundle(bundles["one"]), read_bundle(bundles["two"])

    def reopened() -> Service:
        models.switch("one", Version(service_of(new), lambda: service_of(new)))
        return service_of(old)

    models.switch("one", Version(service_of(old), reopened))
    with TestClient(app_of(models)) as client:
        assert post(client).headers["x-bundle"] == old.digest
        assert post(client).headers["x-bundle"] == new.digest


def test_a_model_that_cannot_be_loaded_answers_503_and_the_others_go_on(bundles: dict[str, Path]) -> None:
    models = opened(bundles, "two", "one", most=1)

    def gone() -> Service:
        raise IntegrityError("gone")

    models.switch("two", Version(service_of(read_bundle(bundles["two"])), gone))
    with TestClient(app_of(models)) as client:
        answer = post(client, model="two")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_loaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert post(client, model="one").status_code == 200


def test_a_server_begins_with_a_pinned_bundle_and_models_that_follow(bundles: dict[str, Path], tmp_path: Path) -> None:
    for name in ("pinned", "watched"):
        put(bundles["one"], tmp_path / name)
    hosting = Hosting("cpu", 1, 1, tmp_path / "cache", 60.0)
    models, _ = open_models(tmp_path / "pinned", {"w": FolderSource(tmp_path / "watched")}, lambda name: MANY, hosting)
    assert [(card["id"], card["follows"]) for card in models.cards()] == [(ONLY_MODEL, None), ("w", "folder")]
    put(bundles["two"], tmp_path / "watched")
    with TestClient(app_of(models)) as client:
        assert post(client).status_code == 200
        shown: dict[str, Any] = post(client, model="w").headers  # type: ignore[assignment]
        assert shown["x-bundle"] == read_bundle(bundles["one"]).digest  # loaded again from the cache
        put(bundles["two"], tmp_path / "pinned")
        assert post(client).json()["error"]["code"] == "model_not_loaded"  # a pinned bundle is not another one


@pytest.mark.parametrize("option", ["--model", "--fast"])
def test_a_folder_that_is_not_there_is_one_message(
    option: str, bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "nothing"
    words = (option, f"tiny={missing}" if option == "--model" else str(missing))
    with pytest.raises(DdpmError, match=rf"^{option}[^:]*: .*{missing}.*not found") as told:
        served(monkeypatch, "--bundle", str(bundles["one"]), "--cache", str(tmp_path / "cache"), *words)
    assert told.value.exit_code == 1
