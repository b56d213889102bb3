"""`ddpm import` and `ddpm bundle diffusers`: a foreign model to a bundle and back, by the command line."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ddpm_core.bundle.format import read_bundle
from ddpm_core.models import ModelConfig
from ddpm_core.objectives.config import ObjectiveConfig
from pipelines.cli import main
from pipelines.commands.import_model import PARAMS_FILE
from pipelines.params import read_yaml
from pipelines.parsing import parse_kept
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.torch_denoiser import network_of
from tests.support.diffusers_folder import tensors, write_folder


def test_a_folder_becomes_a_bundle_that_samples_and_goes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = {**tensors(), "class_embedding.weight": torch.randn(3, 16)}
    folder = write_folder(tmp_path / "theirs", weights, {"num_class_embeds": 3})
    out = tmp_path / "bundle"
    asked = ["--classes", "cat,dog", "--sampler", "unipc_2", "--steps", "3"]
    assert main(["import", str(folder), "--out", str(out), *asked]) == 0
    bundle = read_bundle(out)
    assert bundle.spec.classes == ("cat", "dog")
    assert (bundle.sample["sampler"]["kind"], bundle.sample["sampler"]["steps"]) == ("unipc_2", 3)
    assert bundle.provenance["imported"]["layout"] == "diffusers"
    assert set(bundle.provenance["imported"]["files"]) == {
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
    }
    told = read_yaml(out / PARAMS_FILE)
    assert told["train"]["init_from"]["sha256"] == bundle.digest
    assert parse_kept(ModelConfig, told["model"], "model") == network_of(bundle).config
    assert parse_kept(ObjectiveConfig, told["diffusion"], "diffusion").target == "v"
    assert Sampler(bundle, "cpu", 1).check_golden() == "equal"
    assert torch.equal(network_of(bundle).state_dict()["label.weight"], weights["class_embedding.weight"])
    grid = tmp_path / "grid.png"
    assert main(["sample", "--bundle", str(out), "--n", "2", "--label", "dog", "--out", str(grid)]) == 0
    assert grid.stat().st_size > 0
    assert main(["bundle", "diffusers", str(tmp_path / "back"), "--bundle", str(out)]) == 0
    back = load_file(tmp_path / "back" / "unet" / "diffusion_pytorch_model.safetensors")
    assert set(back) == set(weights)
    assert all(torch.equal(back[name], weights[name]) for name in weights)
    assert main(["bundle", "diffusers", str(tmp_path / "no"), "--bundle", str(out), "--steps", "3"]) == 2
    assert "--steps" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "PATH"),
        (["--layout", "guided-diffusion"], "--flags"),
        (["--layout", "guided-diffusion", "--flags", "none.yaml"], "--flags"),
        (["--layout", "diffusers", "--flags", "none.yaml"], "--flags"),
        (["--layout", "diffusers", "--size", "32"], "--size"),
        (["--layout", "diffusers", "--size", "0x32"], "--size"),
    ],
)
def test_wrong_usage_is_refused_by_the_option(
    options: list[str], named: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    assert main(["import", str(file), "--out", str(tmp_path / "out"), *options]) == 2
    assert named in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
