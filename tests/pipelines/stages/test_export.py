"""Stage export: weights to a bundle that proves itself."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.errors import ExportError
from ddpm_core.files import sha256_file
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.stages import export as stage
from pipelines.stages.export import export_weights
from pipelines.training.weights_file import read_weights
from tests.support.tiny_bundle import tiny_sample_config, tiny_spec, tiny_unet
from tests.support.weights import write_weights

CONFIG = ExportConfig(20, 1e-4, 4, 1.0, None, "last")


def test_weights_of_before_there_was_refine_are_read_and_the_bundle_says_which_network_it_holds(tmp_path: Path) -> None:
    model = asdict(tiny_unet(tiny_spec()).config)
    old = {key: value for key, value in model.items() if key != "refine"}
    file = write_weights(tmp_path / "w.safetensors", model=old)
    net, about, *_ = read_weights(file)
    assert asdict(net.config) == {**model, "refine": 0}
    said = stage._provenance(file, about, CONFIG, asdict(tiny_sample_config()))["model"]
    assert said == {**model, "refine": 0}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    folder = tmp_path_factory.mktemp("export")
    weights = write_weights(folder / "weights.safetensors")
    export_weights(weights, folder / "bundle", CONFIG, asdict(tiny_sample_config()), 1)
    return folder, read_bundle(folder / "bundle")


def test_the_bundle_samples_and_its_golden_image_comes_out_again(exported: tuple[Path, Bundle]) -> None:
    sampler = Sampler.open(exported[0] / "bundle", "cpu")
    assert sampler.check_golden() == "equal"
    assert sampler.sample(sampler.recipe(), [0, 1], {"label": [0, None]}).shape == (2, 1, 8, 8)


def test_provenance_holds_digests_and_versions_and_no_place_or_time(exported: tuple[Path, Bundle]) -> None:
    folder, bundle = exported
    provenance = bundle.provenance
    assert provenance["weights_sha256"] == sha256_file(folder / "weights.safetensors")
    assert (provenance["data_digest"], provenance["train_digest"]) == ("d" * 64, "t" * 64)
    assert provenance["parity"] == {"tolerance": 1e-4, "batches": [1, 3, 16], "passed": True}
    assert provenance["versions"]["torch"] == torch.__version__.split("+")[0]
    assert str(folder).encode() not in bundle.json_bytes() + bundle.model


@pytest.mark.slow
def test_exporting_again_gives_the_same_bundle(exported: tuple[Path, Bundle], tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "others.safetensors")
    again = export_weights(weights, tmp_path / "bundle", CONFIG, asdict(tiny_sample_config()), 1)
    assert again.digest == exported[1].digest


def test_a_failed_export_leaves_the_bundle_that_was_there(
    exported: tuple[Path, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "export_onnx", lambda *args, **options: exported[1].model)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").write_text("kept")
    weights = write_weights(tmp_path / "w.safetensors")
    strict = ExportConfig(20, 1e-30, 4, 1.0, None, "last")
    with pytest.raises(ExportError, match=r"export.parity_tolerance = 1e-30"):
        export_weights(weights, tmp_path / "bundle", strict, asdict(tiny_sample_config()), 1)
    assert (tmp_path / "bundle" / "old").read_text() == "kept"
