"""Stage export: weights to a bundle that proves itself; damaged weights are told."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.errors import ExportError, IntegrityError, ParamsError
from ddpm_core.files import sha256_file
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import DataSpec
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.stages import export as stage
from pipelines.stages.export import export_weights, read_weights
from tests.support.tiny_bundle import tiny_sample_config, tiny_spec, tiny_unet

CONFIG = ExportConfig(20, 1e-4, 4, 1.0, None, "last")
DIFFUSION = DiffusionConfig(
    "diffusion",
    Cosine("cosine", 50, 0.008, 0.999, False),
    "v",
    "fixed_small",
    Simple("simple"),
    Uniform("uniform", True),
    0.001,
)


def write_weights(file: Path, seen: DataSpec | None = None, **changes: Any) -> Path:
    from safetensors.torch import save

    spec = seen or tiny_spec()
    net = tiny_unet(spec)
    about = {
        "spec": spec.to_dict(),
        "model": asdict(net.config),
        "diffusion": asdict(DIFFUSION),
        "train_digest": "t" * 64,
        "data_digest": "d" * 64,
        "steps": 7,
        **changes,
    }
    further = {f"ema-0.5/{name}": weight + 1 for name, weight in net.named_parameters()}
    tensors = {**net.state_dict(), **(further if "averages" in changes else {})}
    file.write_bytes(save(tensors, {"ddpm": json.dumps(about, sort_keys=True)}))
    return file


def older_spec(**changes: Any) -> dict[str, Any]:
    """As weights told of their data when a label was the only condition there could be."""
    return {"shape": [1, 8, 8], "range": [-1.0, 1.0], "levels": 256, "classes": ["zero", "one", "two"], **changes}


def test_weights_made_before_conditions_had_names_are_read(tmp_path: Path) -> None:
    told = write_weights(tmp_path / "told.safetensors", spec=older_spec(), conditional=True)
    assert read_weights(told)[2] == tiny_spec()
    untold = write_weights(tmp_path / "untold.safetensors", tiny_spec().told(()), spec=older_spec(), conditional=False)
    assert read_weights(untold)[2] == tiny_spec().told(())


def test_the_average_that_is_asked_for_is_the_one_that_ships(tmp_path: Path) -> None:
    file = write_weights(tmp_path / "w.safetensors", averages=[0.9, 0.5])
    plain = dict(read_weights(file)[0].named_parameters())
    wide = dict(read_weights(file, 0.5)[0].named_parameters())
    assert all(torch.equal(wide[name], plain[name] + 1) for name in plain)
    assert all(torch.equal(weight, plain[name]) for name, weight in read_weights(file, 0.9)[0].named_parameters())
    with pytest.raises(ParamsError, match=r"export.ema: must be .* \(0.9, 0.5\), got 0.99; add it to train.ema_more"):
        read_weights(file, 0.99)


def test_weights_of_before_there_was_refine_are_read_and_the_bundle_says_which_network_it_holds(tmp_path: Path) -> None:
    model = asdict(tiny_unet(tiny_spec()).config)
    old = {key: value for key, value in model.items() if key != "refine"}
    file = write_weights(tmp_path / "w.safetensors", model=old)
    net, about, *_ = read_weights(file)
    assert asdict(net.config) == {**model, "refine": 0}
    said = stage._provenance(file, about, CONFIG, asdict(tiny_sample_config()))["model"]
    assert said == {**model, "refine": 0}


def test_the_best_step_ships_where_it_is_asked_for(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    def file(best_step: int) -> Path:
        about = {"averages": [0.9, 0.5], "best": {"step": best_step, "held_out_loss": 0.1}}
        place = write_weights(tmp_path / f"{best_step}.safetensors", **about)
        head, tensors = read_about(place), load_file(place)
        kept = {f"best/{name}": weight + 2 for name, weight in tensors.items() if not name.startswith("ema-")}
        save_file({**tensors, **(kept if best_step < 7 else {})}, place, {"ddpm": json.dumps(head, sort_keys=True)})
        return place

    last = dict(read_weights(file(3))[0].named_parameters())
    best = dict(read_weights(file(3), best=True)[0].named_parameters())
    assert all(torch.equal(best[name], last[name] + 2) for name in last)
    same = dict(read_weights(file(7), best=True)[0].named_parameters())
    assert all(torch.equal(same[name], last[name]) for name in last)
    with pytest.raises(ParamsError, match=r"export.weights: best needs .* or train again with train.hold_out above 0"):
        read_weights(write_weights(tmp_path / "w.safetensors"), best=True)
    with pytest.raises(ParamsError, match=r"ema: must be null with weights: best, .* got 0.5"):
        ExportConfig(20, 1e-4, 4, 1.0, 0.5, "best")


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


def test_weights_that_cannot_be_read_are_told_with_the_way_to_mend(tmp_path: Path) -> None:
    mend = r"make it again with `ddpm train`, or restore it with `dvc checkout out/weights.safetensors`"
    with pytest.raises(IntegrityError, match=rf"there must be the weights of a training, got no file; {mend}"):
        read_weights(tmp_path / "none.safetensors")
    file = write_weights(tmp_path / "w.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match=rf"must be a safetensors file that `ddpm train` wrote.*{mend}"):
        read_weights(file)
    file.write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"must be a safetensors file that `ddpm train` wrote"):
        read_weights(file)


def test_weights_of_another_network_or_without_a_description_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save

    model = asdict(tiny_unet(tiny_spec()).config)
    wider = write_weights(tmp_path / "wider.safetensors", model={**model, "channels": 32})
    with pytest.raises(IntegrityError, match="must hold the weights of its own network, but"):
        read_weights(wider)
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(save({"w": torch.zeros(1)}))
    with pytest.raises(IntegrityError, match="got one that does not read as such"):
        read_weights(bare)
    odd = write_weights(tmp_path / "odd.safetensors", diffusion={**asdict(DIFFUSION), "target": "wish"})
    with pytest.raises(ParamsError, match=r"odd.safetensors: diffusion.*\n.*target"):
        read_weights(odd)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load, save

    file = write_weights(tmp_path / "w.safetensors")
    tensors = load(file.read_bytes())
    name = next(iter(sorted(tensors)))
    tensors[name].view(-1)[0] = float("inf")
    head = json.dumps(read_about(file), sort_keys=True)
    file.write_bytes(save(tensors, {"ddpm": head}))
    with pytest.raises(IntegrityError, match=r"every weight must be a finite number, .* is not"):
        read_weights(file)


def read_about(file: Path) -> dict[str, Any]:
    return read_weights(file)[1]
