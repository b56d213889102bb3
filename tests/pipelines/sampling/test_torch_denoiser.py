"""By torch a bundle makes the pictures that it makes by onnxruntime, to a level: one plan, noise and guidance."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.models import UNetConfig
from ddpm_core.samplers.config import GuidanceConfig, named
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.parallel import sample_in_parallel
from tests.support.imports import ROOT
from tests.support.tiny_bundle import exported_bundle, tiny_bundle

LABELS: list[int | None] = [0, 1, 2, None, 1]
SEEDS = [7, 3, 1, 4, 2**64 - 1]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exported_bundle(tmp_path_factory.mktemp("torch") / "b")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exported_bundle(tmp_path_factory.mktemp("torch") / "b", variance="learned")


def agree(bundle: Bundle, cond: dict[str, Any], kind: str, guidance: GuidanceConfig) -> None:
    by_each = [Sampler(bundle, "cpu"), Sampler(bundle, "cpu", engine="torch")]
    made = [by.sample(by.recipe(named(kind, 5, None), guidance=guidance), SEEDS, cond) for by in by_each]
    assert made[0].std() > 5
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1


@pytest.mark.parametrize("kind", ["ancestral", "unipc_2", "heun"])
@pytest.mark.parametrize("guidance", [GuidanceConfig(0.0, None, 0.0), GuidanceConfig(1.5, (0.2, 0.8), 0.7)])
def test_both_engines_make_the_same_pictures(bundle: Bundle, kind: str, guidance: GuidanceConfig) -> None:
    agree(bundle, {"label": LABELS}, kind, guidance)


def test_they_agree_where_the_variance_is_learned(learned: Bundle) -> None:
    agree(learned, {"label": LABELS}, "ancestral", GuidanceConfig(0.5, None, 0.0))


def test_they_agree_without_labels(tmp_path: Path) -> None:
    agree(exported_bundle(tmp_path / "b", conditional=False), {}, "ddim", GuidanceConfig(0.0, None, 0.0))


def test_a_picture_tells_its_engine_where_that_is_torch(bundle: Bundle) -> None:
    by_torch, by_runtime = Sampler(bundle, "cpu", engine="torch"), Sampler(bundle, "cpu")
    assert by_torch.made_by(by_torch.recipe()) == {
        **by_runtime.made_by(by_runtime.recipe()),
        "engine": "torch",
    }
    assert (by_torch.device, by_torch.threads, by_torch.engine) == ("cpu", 1, "torch")


def test_the_network_answers_arrays_and_steps_are_watched_as_arrays(bundle: Bundle) -> None:
    sampler, runtime = Sampler(bundle, "cpu", engine="torch"), Sampler(bundle, "cpu")
    x = np.random.default_rng(0).normal(size=(3, *bundle.spec.shape)).astype(np.float32)
    t, cond = np.array([1, 20, 40], dtype=np.float32), {"label": np.array([0, 1, 3])}
    np.testing.assert_allclose(sampler.network(x, t, cond), runtime.network(x, t, cond), atol=1e-5)
    seen: list[Any] = []
    sampler.sample(
        sampler.recipe(), SEEDS, {"label": LABELS}, watch=lambda row, x, D: seen.append((x, D)), batch_size=3
    )
    assert {type(value) for pair in seen for value in pair} == {np.ndarray}


def test_tf32_is_as_it_was_before(bundle: Bundle) -> None:
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    sampler = Sampler(bundle, "cpu", engine="torch")
    sampler.sample(sampler.recipe(), [1], {"label": [1]})
    assert conv.fp32_precision == before


def test_several_processes_sample_by_the_same_engine(bundle: Bundle) -> None:
    sampler = Sampler(bundle, "cpu", 1, engine="torch")
    alone = sampler.sample(sampler.recipe(), SEEDS, {"label": LABELS}, batch_size=3)
    made = sample_in_parallel(sampler, sampler.recipe(), SEEDS, {"label": LABELS}, processes=2, batch_size=3)
    assert np.array_equal(made, alone)


def test_a_bundle_that_does_not_tell_its_network_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"lacks the network's configuration.*ddpm export"):
        Sampler(replace(bundle, provenance={}), "cpu", engine="torch")
    old = onnx.load_model_from_string(bundle.model)
    del old.metadata_props[:]
    with pytest.raises(ParamsError, match=r"lacks the places of its weights.*ddpm export"):
        Sampler(replace(bundle, model=old.SerializeToString()), "cpu", engine="torch")


def test_weights_of_another_network_are_refused(bundle: Bundle) -> None:
    wider = {**bundle.provenance["model"], "channels": 32}
    assert UNetConfig(**wider)
    with pytest.raises(IntegrityError, match=r"the network that bundle\.json tells of"):
        Sampler(replace(bundle, provenance={"model": wider}), "cpu", engine="torch")


def test_the_default_engine_and_the_service_load_no_torch(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b", golden=True)
    assert read_bundle(tmp_path / "b").golden is not None
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.sampling.bundle_sampler import Sampler\n"
        "from pipelines.serving import app, service\n"
        f"sampler = Sampler.open(Path({str(tmp_path / 'b')!r}), 'cpu')\nsampler.check_golden()\n"
        "app.create_app(sampler, service.Limits(cost=9, waiting=1, at_once=1, seconds=9, body_bytes=99))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
