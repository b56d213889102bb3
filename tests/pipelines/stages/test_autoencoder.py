"""An autoencoder goes the whole way: trained, resumed, exported as its decoder, sampled in one evaluation."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion.noise import initial
from ddpm_core.errors import ParamsError
from ddpm_core.files import sha256_file
from ddpm_core.models.vae_config import VAEConfig
from ddpm_core.objectives.elbo_config import ElboConfig
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named, sampler_kinds
from pipelines.evaluation.likelihood import held_out_bits
from pipelines.paths import Paths
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor
from pipelines.stages import train
from pipelines.stages.export import export_weights
from pipelines.training.weights_file import read_weights
from tests.support.small_training import HELD, Killed, Recorder, killed_at, params, project

VAE = VAEConfig("vae", 3, 4, (1, 2), 1, 2, 0.0, "each")
PARAMS = params(model=VAE, diffusion=ElboConfig("elbo", "logistic"), **HELD, lr=1e-2)  # type: ignore[arg-type]
ONE_STEP = SampleConfig(named("ddim", 1, None), GuidanceConfig(0.0, None, 0.0), 0)
EXPORT = ExportConfig(opset=20, parity_tolerance=1e-5, golden_steps=4, golden_tolerance=1.0, ema=None, weights="best")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = project(tmp_path_factory.mktemp("vae"))
    train.run(PARAMS, paths, Recorder())  # type: ignore[arg-type]
    export_weights(paths.weights, paths.bundle, EXPORT, asdict(ONE_STEP), 1)
    return paths


def test_it_learns_and_resumes_to_the_same_bytes(paths: Paths, tmp_path: Path) -> None:
    rows = paths.curves.read_text().splitlines()
    held = [float(row.rsplit(",", 1)[1]) for row in rows[1:]]
    assert held[-1] < held[0]
    again = project(tmp_path)
    with pytest.raises(Killed):
        train.run(PARAMS, again, killed_at(8))  # type: ignore[arg-type]
    train.run(PARAMS, again, Recorder())  # type: ignore[arg-type]
    assert sha256_file(again.weights) == sha256_file(paths.weights)


def test_a_sample_is_the_decoder_s_answer_to_the_first_numbers_of_its_noise(paths: Paths) -> None:
    sampler = Sampler.open(paths.bundle, "cpu")
    bundle, recipe = sampler.bundle, sampler.recipe()
    assert (bundle.schedule.T, bundle.target, recipe.cost(5)) == (1, "x0", 5)
    seeds, label = [4, 7, 9], [0, 1, None]
    samples = sampler.sample(recipe, seeds, {"label": label})
    net, *_ = read_weights(paths.weights, best=True)
    z = torch.from_numpy(initial(seeds, bundle.spec.shape)).flatten(1)[:, :3]
    with torch.no_grad():
        mean = net.decode(z, torch.tensor([0, 1, 2]))[0].numpy()  # type: ignore[operator]
    assert np.abs(samples.astype(int) - bundle.spec.decode(mean.clip(-1, 1))).max() <= 1
    assert np.array_equal(samples[1:2], sampler.sample(recipe, [7], {"label": [1]}))
    by_torch = Sampler.open(paths.bundle, "cpu", engine="torch").sample(recipe, seeds, {"label": label})
    assert np.abs(samples.astype(int) - by_torch).max() <= 1
    assert sampler.check_golden() == "equal"


def test_what_makes_no_sense_for_one_evaluation_is_refused(paths: Paths) -> None:
    sampler = Sampler.open(paths.bundle, "cpu")
    whole = sampler.sample(sampler.recipe(), [1], {"label": [0]})
    for kind in set(sampler_kinds()) - {"langevin"}:
        assert np.array_equal(sampler.sample(sampler.recipe(kind), [1], {"label": [0]}), whole), kind
    with pytest.raises(ParamsError, match=r"sampler: must .* one evaluation.*langevin"):
        sampler.recipe("langevin")
    with pytest.raises(ParamsError, match=r"steps: must be 1 .* got 2"):
        sampler.recipe(steps=2)
    with pytest.raises(ParamsError, match=r"guidance: must be 0 .* got 0\.5"):
        sampler.recipe(guidance=0.5)


def test_two_seeds_are_interpolated_and_no_datum_is_edited(paths: Paths) -> None:
    sampler = Sampler.open(paths.bundle, "cpu")
    editor = Editor(sampler, sampler.recipe(), 5, {"label": [0] * 5})
    between = editor.interpolate(4, 7)
    ends = sampler.sample(sampler.recipe(), [4, 7], {"label": [0, 0]})
    assert np.array_equal(between[[0, -1]], ends)
    datum = ends[0]
    for edit in (
        lambda: editor.vary(datum, range(5), 0.5),
        lambda: editor.vary_by_inversion(datum, {"label": 0}, 0.5),
        lambda: editor.inpaint(datum, np.ones(datum.shape, bool), range(5), 1),
    ):
        with pytest.raises(ParamsError, match="needs a model with levels"):
            edit()


def test_the_bits_need_the_encoder_which_the_weights_have_and_the_bundle_has_not(paths: Paths) -> None:
    sampler = Sampler.open(paths.bundle, "cpu")
    bundle: Bundle = sampler.bundle
    x, cond = np.zeros((4, *bundle.spec.shape), np.uint8), {"label": np.zeros(4, np.int64)}
    left_out = held_out_bits(sampler.network, bundle, x, cond, count=4, levels=10, seed=0)
    assert left_out.terms == ()
    assert "encoder" in (left_out.metrics[0].left_out or "")
