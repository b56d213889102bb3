"""Fine-tuning: weights are taken where they fit, class rows by the names of their classes, and nothing is guessed."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import nn

from ddpm_core.bundle.export import export_onnx
from ddpm_core.bundle.graph_weights import tell_places, weights_in
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import sha256_bytes
from ddpm_core.models import UNetConfig
from ddpm_core.spec import DataSpec, labelled
from ddpm_core.training.config import InitFrom
from ddpm_core.training.init_weights import begin_from
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec

CLASS_ROWS = "label.weight"
CONFIG = UNetConfig("unet", 2, 8, (1, 1), 1, (), 1, 2, 0.0, True, False, 0)


def spec(*classes: str) -> DataSpec:
    return labelled((1, 8, 8), (-1.0, 1.0), 256, classes)


def network(*classes: str, seed: int = 0, config: UNetConfig = CONFIG) -> nn.Module:
    torch.manual_seed(seed)
    return config.build(spec(*classes), False)


def written(folder: Path, net: nn.Module, classes: tuple[str, ...] | None = None, **more: torch.Tensor) -> InitFrom:
    about = {} if classes is None else {"ddpm": json.dumps({"spec": spec(*classes).to_dict()})}
    data = save({**net.state_dict(), **more}, about)
    (folder / "other.safetensors").write_bytes(data)
    return InitFrom("other.safetensors", sha256_bytes(data))


def test_the_same_network_takes_every_weight(tmp_path: Path) -> None:
    theirs, mine = network("a", "b"), network("a", "b", seed=1)
    further = {"ema-0.9/out.bias": torch.ones(4)}
    begin_from(mine, written(tmp_path, theirs, ("a", "b"), **further), tmp_path, spec("a", "b"))
    assert all(torch.equal(mine.state_dict()[name], weight) for name, weight in theirs.state_dict().items())


def test_class_rows_go_by_name_and_the_null_row_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs, mine = network("a", "b", "c"), network("c", "new", "a", seed=1)
    fresh = mine.state_dict()[CLASS_ROWS].clone()
    with caplog.at_level(logging.INFO):
        begin_from(mine, written(tmp_path, theirs, ("a", "b", "c")), tmp_path, spec("c", "new", "a"))
    rows, old = mine.state_dict()[CLASS_ROWS], theirs.state_dict()[CLASS_ROWS]
    assert torch.equal(rows, torch.stack([old[2], fresh[1], old[0], old[3]]))
    assert "other.safetensors; 2 classes are matched by name, fresh: new" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ((), ("a", "b"), "label.weight starts fresh"),
        (("a", "b"), (), "label.weight is left out"),
    ],
)
def test_with_classes_on_one_side_alone_the_rest_is_taken(
    tmp_path: Path, old: tuple[str, ...], new: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, mine = network(*old), network(*new, seed=1)
    before = {name: weight.clone() for name, weight in mine.state_dict().items()}
    with caplog.at_level(logging.INFO):
        begin_from(mine, written(tmp_path, theirs, old), tmp_path, spec(*new))
    after = mine.state_dict()
    assert all(torch.equal(after[name], {**before, **theirs.state_dict()}[name]) for name in after)
    assert said in caplog.text


def test_classes_without_names_are_taken_in_their_order_or_refused(tmp_path: Path) -> None:
    theirs, mine = network("a", "b"), network("x", "y", seed=1)
    begin_from(mine, written(tmp_path, theirs), tmp_path, spec("x", "y"))
    assert torch.equal(mine.state_dict()[CLASS_ROWS], theirs.state_dict()[CLASS_ROWS])
    with pytest.raises(ParamsError, match=r"label.weight 3x32 for 2x32, without the names of its classes"):
        begin_from(network("x"), written(tmp_path, theirs), tmp_path, spec("x"))


def test_another_network_is_refused_by_the_names_of_its_tensors(tmp_path: Path) -> None:
    wider = network(config=replace(CONFIG, channels=16))
    with pytest.raises(ParamsError, match=r"but: time.0.weight 64x16 for 32x8; .* and \d+ more; set section `mod"):
        begin_from(network(), written(tmp_path, wider), tmp_path, spec())
    with pytest.raises(ParamsError, match=r"but: extra is not of this network; set section `model`"):
        begin_from(network(), written(tmp_path, network(), extra=torch.ones(2)), tmp_path, spec())
    larger = nn.ModuleDict({"net": network(), "more": nn.Linear(2, 2)})
    with pytest.raises(ParamsError, match=r"but: more.weight is missing; more.bias is missing; set section `model`"):
        begin_from(larger, written(tmp_path, nn.ModuleDict({"net": network()})), tmp_path, spec())


def test_class_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    wider = network("a", config=replace(CONFIG, channels=16))
    with pytest.raises(ParamsError, match=rf"{CLASS_ROWS} 2x64 for 2x32"):
        begin_from(network("a"), written(tmp_path, wider, ("a",)), tmp_path, spec("a"))


def test_another_file_than_the_one_that_was_meant_is_refused(tmp_path: Path) -> None:
    start = written(tmp_path, network())
    with pytest.raises(IntegrityError, match=r"must have the SHA-256 0{64}, got [0-9a-f]{64}; .* file"):
        begin_from(network(), replace(start, sha256="0" * 64), tmp_path, spec())
    with pytest.raises(ParamsError, match=r"train.init_from.path: must be a safetensors file or .* not found: .*none"):
        begin_from(network(), replace(start, path="none"), tmp_path, spec())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path, InitFrom]:
    """A network with classes a, b and c and its bundle, exported as stage export does."""
    net, folder = network("a", "b", "c", seed=5), tmp_path_factory.mktemp("bundle")
    graph = export_onnx(net, spec("a", "b", "c"), opset=20)
    made = tiny_bundle(folder / "bundle", spec=spec("a", "b", "c"), model=graph)
    return net, folder, InitFrom("bundle", made.digest)


def test_a_bundle_gives_the_very_weights_it_was_exported_from(
    bundle: tuple[nn.Module, Path, InitFrom], tmp_path: Path
) -> None:
    theirs, folder, start = bundle
    by_bundle, by_file = network("c", "new", seed=1), network("c", "new", seed=1)
    begin_from(by_bundle, start, folder, spec("c", "new"))
    begin_from(by_file, written(tmp_path, theirs, ("a", "b", "c")), tmp_path, spec("c", "new"))
    for name, weight in by_file.state_dict().items():
        assert torch.equal(by_bundle.state_dict()[name], weight), name
    assert torch.equal(by_bundle.state_dict()[CLASS_ROWS][0], theirs.state_dict()[CLASS_ROWS][2])


def test_another_or_a_damaged_bundle_is_refused(bundle: tuple[nn.Module, Path, InitFrom], tmp_path: Path) -> None:
    _, folder, start = bundle
    with pytest.raises(IntegrityError, match=r"must have the SHA-256 0{64}, .* bundle \(.* its bundle.json"):
        begin_from(network("a"), replace(start, sha256="0" * 64), folder, spec("a"))
    shutil.copytree(folder / "bundle", tmp_path / "bundle")
    model = tmp_path / "bundle" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model.onnx: must have \d+ bytes and SHA-256"):
        begin_from(network("a"), start, tmp_path, spec("a"))


def test_a_bundle_that_does_not_say_which_weight_is_which_is_refused(tmp_path: Path) -> None:
    made = tiny_bundle(tmp_path / "bundle")
    with pytest.raises(ParamsError, match=r"does not \(an older version made it\); give the weights file .* SHA-256 "):
        begin_from(network(), InitFrom("bundle", made.digest), tmp_path, spec())


def test_a_weight_that_is_not_in_the_graph_is_kept_beside_it() -> None:
    from onnx import load_model_from_string

    graph = load_model_from_string(tiny_graph(tiny_spec()))
    tables = {"none": torch.tensor([[0.25, 0.5]]), "number": torch.tensor(3)}
    tell_places(graph, tables)
    kept = weights_in(graph.SerializeToString())
    assert kept is not None
    assert kept.keys() == tables.keys()
    assert all(torch.equal(kept[name], table) for name, table in tables.items())


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no tensors")
    with pytest.raises(ParamsError, match=r"must be a safetensors file such as out/weights.safetensors, but .*/x "):
        begin_from(network(), InitFrom("x", sha256_bytes(b"no tensors")), tmp_path, spec())


@pytest.mark.parametrize(
    ("values", "message"), [(("", "0" * 64), "path: must be the path"), (("x", "0g"), "sha256: must be 64 hexadecimal")]
)
def test_a_path_and_a_digest_must_be_given(values: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        InitFrom(*values)
