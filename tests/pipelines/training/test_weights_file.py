"""The weights file: the average that is asked for, files of older versions, and files that are refused."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.errors import DataError, IntegrityError, ParamsError
from pipelines.training.weights_file import read_about, read_weights
from tests.support.tiny_bundle import tiny_spec, tiny_unet
from tests.support.weights import DIFFUSION, write_weights


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


def test_what_a_file_says_of_itself_is_read_from_its_header_alone(tmp_path: Path) -> None:
    from safetensors.torch import save

    file = write_weights(tmp_path / "w.safetensors")
    about = read_about(file)
    assert (about["train_digest"], about["steps"]) == ("t" * 64, 7)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])  # the tensors are not looked at
    assert read_about(file) == about
    file.write_bytes(save({"w": torch.zeros(1)}))
    assert read_about(file) == {}
    file.write_bytes(b"short")
    with pytest.raises(DataError, match="must be a safetensors file, got other content"):
        read_about(file)
