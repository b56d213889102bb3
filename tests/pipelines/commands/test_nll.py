"""`ddpm nll` as a person types it: the library's numbers in a table, its files, and what it refuses."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddpm_core.diffusion.noise import Purpose, generator
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.likelihood.nll import Data, bound_table, ode_table
from ddpm_core.models import UNetConfig
from ddpm_core.models.vae_config import VAEConfig
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.objectives.elbo_config import ElboConfig
from ddpm_core.spec import DataSpec
from pipelines.cli import main
from pipelines.kinds.pictures.rows.examples import example
from pipelines.shards.archive import Example, ShardConfig, read_split, write_shards
from pipelines.training.weights_file import weights_bytes
from tests.support.imports import ROOT
from tests.support.tiny_bundle import tiny_spec, tiny_unet

TEST = 40
DIFFUSION = DiffusionConfig(
    "diffusion",
    Cosine("cosine", 20, 0.008, 0.999, False),
    "v",
    "fixed_small",
    Simple("simple"),
    Uniform("uniform", True),
    0.001,
)


def samples(spec: DataSpec, n: int, seed: int) -> Iterator[Example]:
    draw = np.random.default_rng(seed)
    for i in range(n):
        yield example(f"{i:016x}", draw.integers(0, 256, spec.shape).astype(np.uint8), i % len(spec.classes), spec)


def write_weights(path: Path, spec: DataSpec) -> Any:
    net = tiny_unet(spec)
    return write(path, spec, net, UNetConfig("unet", 2, 16, (1, 2), 1, (1,), 2, 4, 0.0, True, False, 0), DIFFUSION)


def write(path: Path, spec: DataSpec, net: Any, model: Any, diffusion: Any) -> Any:
    metadata = {
        "spec": spec.to_dict(),
        "model": asdict(model),
        "diffusion": asdict(diffusion),
        "conditional": True,
        "train_digest": "0" * 64,
        "data_digest": "0" * 64,
        "steps": 1,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(weights_bytes(net.state_dict(), metadata))
    return net


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nll")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    splits = {"test": samples(tiny_spec(), TEST, 1), "train": samples(tiny_spec(), 8, 2)}
    write_shards(root / "data" / "shards", tiny_spec(), splits, ShardConfig(100, 10, 100))
    write_weights(root / "out" / "weights.safetensors", tiny_spec())
    return root


def nll(project: Path, *options: str) -> int:
    return main(["nll", "--project", str(project), *options])


def measured(project: Path, n: int) -> Data:
    split = read_split(project / "data" / "shards", "test")
    rows = sorted(generator(0, Purpose.EVALUATE).permutation(TEST)[:n].tolist())
    return Data.encoded(tiny_spec(), split.x[rows], {"label": split.cond["label"][rows]}, rows, torch.device("cpu"))


def test_table_and_files_hold_the_librarys_numbers(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert nll(project, "--n", "35", "--levels", "all", "--ode", "2") == 0
    net, p, data = tiny_unet(tiny_spec()), DIFFUSION.parameterisation(), measured(project, 35)
    bound = bound_table(net, p, "fixed_small", data, levels=None, seed=0, on_call=lambda: None)
    ode = ode_table(net, p, data, steps=2, probes=2, seed=0, on_call=lambda: None)
    out = capfd.readouterr().out
    assert "35 pictures of split test, 20 of 20 levels each, seed 0" in out
    shown = {line.rsplit(maxsplit=2)[0].strip(): line.split()[-2:] for line in out.splitlines()[2:6]}
    for name, estimate in (
        ("L_T", bound.L_T),
        ("sum of L_{t-1}, t >= 2", bound.L_between),
        ("L_0", bound.L_0),
        ("total (bound)", bound.total),
    ):
        assert [float(value) for value in shown[name]] == pytest.approx(
            [estimate.mean, estimate.standard_error], abs=2e-5
        )
    content = json.loads((project / "out" / "nll" / "nll.json").read_bytes())
    assert content["total"]["bits_per_dim"] == pytest.approx(bound.total.mean, rel=1e-5)
    assert content["ode"]["bits_per_dim"] == pytest.approx(ode.bits.mean, rel=1e-5)
    assert content["ode"]["by_probes"] == pytest.approx(ode.hutchinson, rel=1e-3)
    assert content["ode"]["evaluations"] == 4
    with (project / "out" / "nll" / "terms.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [int(row["t"]) for row in listed] == list(range(1, 21))
    assert float(listed[9]["bits_per_dim"]) == pytest.approx(bound.terms[9].bits.mean, rel=1e-5)
    assert listed[9]["pictures"] == "35"
    assert (project / "out" / "nll" / "terms.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_command_writes_the_same_bytes(project: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        assert nll(project, "--n", "33", "--levels", "5", "--out", str(tmp_path / folder)) == 0
    for name in ("nll.json", "terms.csv", "terms.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--n", "0"], 2, "--n: must be at least 1, got 0"),
        (["--n", "41"], 2, "--n: must be from 1 to the 40 pictures of split test, got 41"),
        (["--split", "tset", "--n", "1"], 2, "--split: must be one of test, train, got 'tset'"),
        (["--levels", "many"], 2, "--levels: must be `all` or a whole number, got 'many'"),
        (["--levels", "21"], 2, "--levels: must be `all`, or from 2 to the schedule's 20, got 21"),
        (["--levels", "1"], 2, "--levels: must be `all`, or from 2 to the schedule's 20, got 1"),
        (["--ode", "0"], 2, "--ode: must be at least 1, got 0"),
        (["--probes", "0"], 2, "--probes: must be at least 1, got 0"),
        (["--seed", "-1"], 2, "--seed: must be from 0 to 2^64 - 1, got -1"),
        (["--weights", "none.safetensors"], 1, "there must be the weights of a training, got no file"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    project: Path, options: list[str], code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    few = [] if "--levels" in options else ["--levels", "5"]
    assert nll(project, *few, *options) == code
    assert message in capfd.readouterr().err


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (tiny_spec(side=16), "trained on data of shape (1, 16, 16), but data/shards hold (1, 8, 8)"),
        (
            tiny_spec(classes=("x", "y")),
            "trained with labels of the 2 classes x, y, but data/shards hold 3: zero, one, two",
        ),
    ],
)
def test_weights_of_other_data_are_refused(
    project: Path, tmp_path: Path, spec: DataSpec, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write_weights(tmp_path / "other.safetensors", spec)
    assert nll(project, "--n", "4", "--levels", "5", "--weights", str(tmp_path / "other.safetensors")) == 1
    assert message in capfd.readouterr().err


def test_a_place_that_cannot_be_written_is_told(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert nll(project, "--n", "4", "--levels", "5", "--out", str(tmp_path / "file" / "in")) == 2
    assert "--out: must be a folder that can be written" in capfd.readouterr().err


def test_the_bound_of_an_autoencoder_is_that_of_one_level(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    config, elbo = VAEConfig("vae", 3, 4, (1,), 1, 2, 0.0, "each"), ElboConfig("elbo", "logistic")
    net = config.build(tiny_spec(), False).eval()
    weights = ("--weights", str(tmp_path / "vae.safetensors"), "--out", str(tmp_path / "nll"))
    write(tmp_path / "vae.safetensors", tiny_spec(), net, config, elbo)
    assert nll(project, "--n", "9", *weights) == 0
    bound = elbo.bound(net, measured(project, 9), levels=None, seed=0, on_call=lambda: None)
    assert "1 of 1 levels each" in capfd.readouterr().out
    content = json.loads((tmp_path / "nll" / "nll.json").read_bytes())
    assert content["L_T"]["bits_per_dim"] == pytest.approx(bound.L_T.mean, rel=1e-5)
    assert content["total"]["bits_per_dim"] == pytest.approx(bound.total.mean, rel=1e-5)
    assert nll(project, "--n", "9", "--ode", *weights) == 2
    assert "--ode: needs a model with levels" in capfd.readouterr().err


def test_data_without_levels_have_no_bits_and_are_refused(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_weights(tmp_path / "smooth.safetensors", replace(tiny_spec(), levels=None))
    assert nll(project, "--n", "4", "--levels", "5", "--weights", str(tmp_path / "smooth.safetensors")) == 2
    said = capfd.readouterr().err
    assert "smooth.safetensors: must be trained on data with levels" in said
