"""A model that follows a folder: each answer is of one version, what is bad is refused, what goes back comes back."""

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ddpm_core.bundle.format import BUNDLE_FILE, MODEL_FILE, read_bundle
from ddpm_core.errors import DeviceError, IntegrityError
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import app_of, metrics_of
from pipelines.serving.follow import Follower, Watcher
from pipelines.serving.hosted import Models
from pipelines.serving.sources import Cache
from tests.support.hosting import following, put, versions, wrong_golden
from tests.support.series_bundle import series_bundle, series_spec
from tests.support.served import post
from tests.support.tiny_bundle import tiny_bundle, tiny_spec, unopenable_graph


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return versions(tmp_path_factory.mktemp("versions"), 2)


@pytest.fixture
def folder(pair: list[Path], tmp_path: Path) -> Path:
    """The folder that is watched; it holds the first version."""
    put(pair[0], tmp_path / "watched")
    return tmp_path / "watched"


@pytest.fixture
def followed(folder: Path, tmp_path: Path) -> tuple[Models, Follower]:
    return following(folder, tmp_path / "cache")


def digest(version: Path) -> str:
    return read_bundle(version).digest


def told(models: Models) -> tuple[Any, ...]:
    card = models.card()
    return card["bundle"], card["switches"], card["failures"], card["refused"]


@pytest.mark.parametrize("switches", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_every_answer_is_wholly_of_one_version_through_many_switches(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, switches: int
) -> None:
    models, follower = followed
    body = {"label": 0, "seed": 3, "n": 2, "steps": 2, "format": "npz"}
    with TestClient(app_of(models)) as client:
        of: dict[str, bytes] = {}
        for version in (pair[1], pair[0]):
            put(version, folder)
            follower.look(models)
            answer = post(client, **body)
            of[answer.headers["x-bundle"]] = answer.content
        assert set(of) == {digest(version) for version in pair}
        assert len(set(of.values())) == 2

        done, some, answers = threading.Event(), threading.Semaphore(0), []

        def ask() -> None:
            while some.acquire() and not done.is_set():
                answers.append(post(client, **body))

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for thread in clients:
            thread.start()
        for number in range(switches):
            some.release(3)
            put(pair[(number + 1) % 2], folder)
            follower.look(models)
        done.set()
        some.release(3)
        for thread in clients:
            thread.join(20)
    assert len(answers) > switches
    assert models.card()["switches"] == 2 + switches
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.content == of[answer.headers["x-bundle"]] for answer in answers)
    assert {answer.headers["x-bundle"] for answer in answers} == set(of)


def test_a_request_that_runs_keeps_the_version_it_began_with(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, follower = followed
    begun, go, answers = threading.Event(), threading.Event(), []
    real = Sampler.sample

    def slow(self: Sampler, *args: Any, **options: Any) -> Any:
        if threading.current_thread().name.startswith("sampler"):
            begun.set()
            assert go.wait(20)
        return real(self, *args, **options)

    with TestClient(app_of(models)) as client:
        before = post(client, seed=1)
        monkeypatch.setattr(Sampler, "sample", slow)
        thread = threading.Thread(target=lambda: answers.append(post(client, seed=1)))
        thread.start()
        assert begun.wait(20)
        put(pair[1], folder)
        follower.look(models)
        assert models.card()["bundle"] == digest(pair[1])
        go.set()
        thread.join(20)
        after = post(client, seed=1)
    assert answers[0].content == before.content != after.content
    assert answers[0].headers["x-bundle"] == digest(pair[0])


def flipped(folder: Path, pair: list[Path], _: Path) -> None:
    put(pair[1], folder)
    data = bytearray((folder / MODEL_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / MODEL_FILE).write_bytes(data)


def golden(folder: Path, pair: list[Path], scratch: Path) -> None:
    put(wrong_golden(scratch / "golden", pair[1]), folder)


def not_a_model(folder: Path, pair: list[Path], scratch: Path) -> None:
    tiny_bundle(scratch / "other", model=unopenable_graph())
    put(scratch / "other", folder)


def other_inputs(folder: Path, pair: list[Path], scratch: Path) -> None:
    series_bundle(scratch / "series", series_spec("forecast"))
    put(scratch / "series", folder)


def cut(folder: Path, pair: list[Path], _: Path) -> None:
    put(pair[1], folder)
    text = (folder / BUNDLE_FILE).read_bytes()
    (folder / BUNDLE_FILE).write_bytes(text[: len(text) // 2])


@pytest.mark.parametrize("spoil", [flipped, golden, not_a_model, other_inputs, cut], ids=lambda each: each.__name__)
def test_a_bad_version_is_refused_and_told_once_and_the_old_one_goes_on(
    followed: tuple[Models, Follower],
    pair: list[Path],
    folder: Path,
    tmp_path: Path,
    spoil: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    models, follower = followed
    spoil(folder, pair, tmp_path)
    for _ in range(3):
        follower.look(models)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "is refused" in errors[0].getMessage()
    bundle, switches, failures, refused = told(models)
    assert (bundle, switches, failures) == (digest(pair[0]), 0, 0)
    assert refused is not None
    put(pair[1], folder)
    follower.look(models)
    assert told(models) == (digest(pair[1]), 1, 0, None)


def test_a_version_that_comes_back_is_served_again_from_the_cache(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, tmp_path: Path
) -> None:
    models, follower = followed
    for version in (pair[1], pair[0]):
        put(version, folder)
        follower.look(models)
        assert models.card()["bundle"] == digest(version)
        assert digest(tmp_path / "cache" / digest(version)) == digest(version)


def test_a_folder_that_is_away_changes_nothing_but_a_warning_and_a_number(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models, follower = followed
    folder.rename(folder.with_name("elsewhere"))
    for failures in (1, 2, 3):
        follower.look(models)
        assert told(models) == (digest(pair[0]), 0, failures, None)
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.WARNING]
    put(pair[1], folder)
    follower.look(models)
    assert told(models) == (digest(pair[1]), 1, 0, None)


def test_metrics_tell_how_often_a_source_was_away_and_for_how_long(
    followed: tuple[Models, Follower], folder: Path
) -> None:
    models, follower = followed
    metrics = metrics_of(models)

    def read() -> tuple[float, float]:
        lines = [line.rpartition(" ") for line in metrics.text("")[0].decode().splitlines() if line[0] != "#"]
        told = {name: float(value) for name, _, value in lines}
        model = f'{{model="{models.default()}"}}'
        return told[f"ddpm_source_failed_looks_total{model}"], told[f"ddpm_source_look_age_seconds{model}"]

    follower.look(models)
    away = folder.with_name("elsewhere")
    folder.rename(away)
    models.followed()[models.default()].good_look -= 100
    for _ in range(3):
        follower.look(models)
    failed, age = read()
    assert failed == 3
    assert 100 <= age < 150
    away.rename(folder)
    follower.look(models)
    failed, age = read()
    assert failed == 3
    assert age < 50


def test_a_device_that_fails_is_tried_again(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, follower = followed
    put(pair[1], folder)
    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "check_golden", lambda self: (_ for _ in ()).throw(DeviceError("full")))
        follower.look(models)
    assert told(models) == (digest(pair[0]), 0, 1, None)
    follower.look(models)
    assert told(models) == (digest(pair[1]), 1, 0, None)


def test_a_folder_is_read_only_when_something_was_written(
    followed: tuple[Models, Follower], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, follower = followed
    monkeypatch.setattr(Cache, "bundle", lambda *args: pytest.fail("read again"))
    follower.look(models)
    assert models.card()["switches"] == 0


def test_a_new_start_begins_with_the_last_version_served_where_the_source_is_away_or_bad(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, tmp_path: Path
) -> None:
    flipped(folder, pair, tmp_path)
    models, _ = following(folder, tmp_path / "cache")
    assert told(models)[:3] == (digest(pair[0]), 0, 0)
    assert models.card()["refused"] == {"bundle": digest(pair[1]), "version": None}
    shutil.rmtree(folder)
    models, follower = following(folder, tmp_path / "cache")
    assert told(models) == (digest(pair[0]), 0, 1, None)
    put(pair[1], folder)
    follower.look(models)
    assert told(models) == (digest(pair[1]), 1, 0, None)


def test_a_first_start_needs_a_good_version(pair: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        following(tmp_path / "nowhere", tmp_path / "cache")
    put(pair[0], tmp_path / "bad")
    flipped(tmp_path / "bad", pair, tmp_path)
    with pytest.raises(IntegrityError):
        following(tmp_path / "bad", tmp_path / "cache")


def test_refused_versions_do_not_push_the_served_one_out_of_the_cache(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, follower = followed
    monkeypatch.setattr(Sampler, "check_golden", lambda self: (_ for _ in ()).throw(IntegrityError("different")))
    for number in range(5):
        tiny_bundle(tmp_path / f"bad-{number}", provenance={"number": number})
        put(tmp_path / f"bad-{number}", folder)
        follower.look(models)
        assert models.card()["refused"]["bundle"] == digest(folder)
    assert digest(tmp_path / "cache" / digest(pair[0])) == digest(pair[0])


def test_a_network_that_gives_no_finite_number_is_refused_without_a_golden_sample(
    followed: tuple[Models, Follower], pair: list[Path], folder: Path, tmp_path: Path
) -> None:
    from onnx import TensorProto, helper

    spec = tiny_spec()
    io = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *spec.shape])]
    io.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, ["batch"]))
    io.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", *spec.shape])
    nodes = [helper.make_node("Sub", ["x", "x"], ["zero"]), helper.make_node("Div", ["zero", "zero"], ["out"])]
    graph = helper.make_graph(nodes, "nan", io, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    tiny_bundle(tmp_path / "nan", model=model.SerializeToString())
    put(tmp_path / "nan", folder)
    models, follower = followed
    follower.look(models)
    assert models.card()["refused"] is not None
    assert models.card()["bundle"] == digest(pair[0])


def test_the_watcher_is_one_thread_that_looks_and_ends_with_the_server(pair: list[Path], tmp_path: Path) -> None:
    put(pair[0], tmp_path / "watched")
    models, follower = following(tmp_path / "watched", tmp_path / "cache")
    looked, look = threading.Event(), follower.look

    def look_and_tell(models: Models) -> None:
        look(models)
        looked.set()

    follower.look = look_and_tell  # type: ignore[method-assign]

    def watchers() -> int:
        return sum(thread.name == "watcher" for thread in threading.enumerate())

    with TestClient(app_of(models, Watcher([follower], models, 0.01))) as client:
        assert watchers() == 1
        put(pair[1], tmp_path / "watched")
        looked.clear()
        assert looked.wait(20)
        looked.clear()
        assert looked.wait(20)
        assert post(client).headers["x-bundle"] == digest(pair[1])
    assert watchers() == 0
