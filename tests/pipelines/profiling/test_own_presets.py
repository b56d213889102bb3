"""Presets for pictures of one's own: each gives a whole good project, keeps what its paper says, and is in the docs."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.errors import DataError, ParamsError
from pipelines import cli
from pipelines.kinds.choice import MeasuringSeconds
from pipelines.kinds.pictures import Pictures
from pipelines.kinds.pictures.profiling.choose import choose
from pipelines.kinds.pictures.profiling.profile import profile
from pipelines.kinds.pictures.sources import Torchvision
from pipelines.params import load_params, read_yaml
from pipelines.profiling import cost, plan
from pipelines.profiling.plan import plan_of
from pipelines.projects.own_presets import own_preset, own_presets
from pipelines.projects.presets import presets
from pipelines.projects.update import updated_params
from tests.pipelines.kinds.pictures.sources.test_torchvision_set import write_mnist
from tests.pipelines.profiling.test_pictures import blobs, save, values
from tests.support.imports import ROOT

OWN = own_presets()
PAGE = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_device", lambda: "cpu")


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of its files, whose digests torchvision knows."""
    names = [str(number) for number in range(10)]
    part = SimpleNamespace(data=np.zeros((20, 32, 32, 3), np.uint8), targets=[0, 1] * 10, classes=names)
    monkeypatch.setattr(Torchvision, "_open", lambda self, place, train: part)


def data(name: str, folder: Path) -> Path:
    """Some that the preset takes."""
    if OWN[name].set == "FashionMNIST":
        write_mnist(folder / "FashionMNIST" / "raw", 20, 10)
    elif OWN[name].set == "CIFAR10":
        folder.mkdir()
    elif OWN[name].labels == "none":
        save(folder, blobs(60))
    else:
        for label in ("a", "b"):
            save(folder / label, blobs(30))
    return folder


def at(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params[part]
    return params


@pytest.mark.usefixtures("cifar")
@pytest.mark.parametrize("name", OWN)
def test_each_gives_a_whole_good_params_file_with_its_values_in_it(name: str, tmp_path: Path) -> None:
    found = plan_of(data(name, tmp_path / "raw"), tmp_path / "project", name)
    (tmp_path / "params.yaml").write_text(found.params)
    params, read = load_params(tmp_path / "params.yaml"), read_yaml(tmp_path / "params.yaml")
    assert (tmp_path / "project" / params.source.path).resolve() == tmp_path / "raw"
    few = {"source.clusters", "train.batch_size"} if OWN[name].set is None else set()
    few |= {"train.steps"} if few and not OWN[name].gpu else set()
    for key, value in OWN[name].values.items():
        assert key in few or at(read, key) == value, key
    assert f"preset {name}" in found.text
    assert ("needs a GPU" in found.text) == OWN[name].gpu
    assert updated_params(found.params) == (found.params, [])


@pytest.mark.parametrize("name", [*OWN, *presets()])
def test_each_preset_is_in_the_docs_and_says_whether_it_needs_a_gpu(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.M)
    assert ("needs a GPU" in row) == (name in OWN and OWN[name].gpu)


@pytest.mark.usefixtures("cifar")
@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [("cifar10", 0, 35_746_307), ("photos-64", 1_000, 121_576_454), ("photos-128", 1_000, 421_530_630)],
)
def test_a_network_has_the_parameters_that_its_paper_says(
    name: str, classes: int, parameters: int, tmp_path: Path
) -> None:
    """35.7, 121 and 422 million."""
    (tmp_path / "params.yaml").write_text(plan_of(data(name, tmp_path / "raw"), tmp_path / "p", name).params)
    params = load_params(tmp_path / "params.yaml")
    spec = params.source.rules().spec([str(number) for number in range(classes)])
    with torch.device("meta"):
        model = params.model.build(spec, params.diffusion.learned_variance)
    assert sum(each.numel() for each in model.parameters()) == parameters


def test_colour_without_labels_is_grouped_and_guided_where_there_are_enough_pictures(tmp_path: Path) -> None:
    chosen = choose(profile(save(tmp_path, blobs(400))), "data", "cpu", own_preset)
    got = values(chosen)
    assert got["source.clusters"] == chosen.train_count // 60 == 4
    assert "sample.guidance.weight" not in got
    assert any(line.endswith("preset small-colour") for line in chosen.found)


def test_with_labels_or_in_grey_nothing_is_grouped(tmp_path: Path) -> None:
    for label in ("a", "b"):
        save(tmp_path / "labelled" / label, blobs(200))
    for folder in (tmp_path / "labelled", save(tmp_path / "grey", blobs(400, channels=1))):
        assert values(choose(profile(folder), "data", "cpu", own_preset))["source.clusters"] is None


def test_labels_are_left_alone_where_a_preset_is_for_pictures_without(tmp_path: Path) -> None:
    read = plan_of(data("small-colour-labels", tmp_path / "raw"), tmp_path / "p", "small-colour").params
    (tmp_path / "params.yaml").write_text(read)
    assert load_params(tmp_path / "params.yaml").source.labels == "none"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("small-colour-labels", ParamsError, "--preset small-colour-labels: must have pictures with labels"),
        ("points", ParamsError, "--preset: with --data must be one of cifar10, fashion"),
        ("cifar10", DataError, "must be torchvision's root with the files of CIFAR10"),
    ],
)
def test_a_preset_that_does_not_fit_the_data_is_refused(
    name: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    save(tmp_path / "raw", blobs(60))
    with pytest.raises(error, match=message):
        plan_of(tmp_path / "raw", tmp_path / "p", name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "small-colour"], "--preset small-colour: must come with --data PATH"),
        (["--preset", "smal"], "or with --data PATH one of cifar10, fashion, photos-128"),
        (["--update", "--preset", "points"], "--preset: must come without --update"),
        ([], "init: must be told --data, --preset or --update"),
    ],
)
def test_the_command_says_what_goes_together(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", str(tmp_path / "p"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_large_network_is_timed_on_a_cpu_by_a_few_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step of a whole batch is then so many times as long."""
    monkeypatch.setattr(cost, "_start_seconds", lambda: 1.0)
    monkeypatch.setattr(Pictures, "measuring_seconds", lambda *_: MeasuringSeconds())
    monkeypatch.setattr(cost, "_LARGE", 1)
    sizes: list[int] = []
    whole = cost.Trainer.__init__

    def counted(self: Any, model: Any, objective: Any, config: Any, batches: Any, **rest: Any) -> None:
        sizes.extend([config.batch_size, len(next(batches(0)))])
        whole(self, model, objective, config, batches, **rest)

    monkeypatch.setattr(cost.Trainer, "__init__", counted)
    monkeypatch.setattr(cost, "_intervals", lambda trainer: [0.5])
    found = plan_of(save(tmp_path / "raw", blobs(60)), tmp_path / "p")
    (tmp_path / "params.yaml").write_text(found.params)
    params = load_params(tmp_path / "params.yaml")
    arrays = {"x": np.zeros((4, 3, 24, 24), np.uint8)}
    measured = cost.measure(params, params.source.rules().spec(()), arrays)
    assert sizes == [2, 2]
    assert measured.step == 0.5 * params.train.batch_size / 2
