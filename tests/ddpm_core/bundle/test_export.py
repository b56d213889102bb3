"""The exported graph answers as torch does at any batch, in the same bytes wherever it is made."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ddpm_core.bundle.export import PARITY_BATCHES, assert_parity, export_onnx
from ddpm_core.errors import ExportError
from ddpm_core.files import sha256_bytes
from ddpm_core.spec import Condition, DataSpec
from tests.support.imports import ROOT
from tests.support.tiny_bundle import tiny_spec, tiny_unet

OPSET = 20


@pytest.fixture(scope="module")
def conditional() -> tuple[nn.Module, bytes]:
    net = tiny_unet(tiny_spec(), learned_variance=True)
    return net, export_onnx(net, tiny_spec(), opset=OPSET)


def runner(model: bytes, threads: int = 1) -> Callable[..., Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(x: Any, t: Any, cond: Any) -> Any:
        return session.run(["out"], {"x": x, "t": t, **cond})[0]

    return run


def check(net: nn.Module, run: Callable[..., Any], spec: DataSpec, tolerance: float = 1e-4) -> float:
    return assert_parity(net, run, spec, top_time=1000.0, tolerance=tolerance)


def test_onnxruntime_answers_as_torch_at_each_batch(conditional: tuple[nn.Module, bytes]) -> None:
    net, model = conditional
    assert 0 <= check(net, runner(model), tiny_spec()) < 1e-5


def test_a_batch_is_its_images_one_by_one_to_the_bit_on_any_threads(conditional: tuple[nn.Module, bytes]) -> None:
    run = runner(conditional[1])
    draw = np.random.default_rng(0)
    x = draw.normal(size=(16, 1, 8, 8)).astype(np.float32)
    t, label = draw.uniform(1, 1000, 16).astype(np.float32), draw.integers(0, 4, 16)
    together = run(x, t, {"label": label})
    np.testing.assert_array_equal(together, runner(conditional[1], threads=3)(x, t, {"label": label}))
    for size in (1, 2, 3, 5, 8):
        parts = [run(x[i : i + size], t[i : i + size], {"label": label[i : i + size]}) for i in range(0, 16, size)]
        np.testing.assert_array_equal(together, np.concatenate(parts))


def test_the_graph_names_its_inputs_and_tells_nothing_of_where_it_was_made(
    conditional: tuple[nn.Module, bytes],
) -> None:
    import onnx

    model = onnx.load_from_string(conditional[1])
    assert [value.name for value in model.graph.input] == ["x", "t", "label"]
    assert [value.name for value in model.graph.output] == ["out"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for word in (b"/work", b"site-packages", b".py", str(ROOT).encode(), b"torch.nn"):
        assert word not in conditional[1]


ANEW = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import importlib.util, pathlib
place = pathlib.Path(sys.argv[1]) / "tests" / "support" / "tiny_bundle.py"
found = importlib.util.spec_from_file_location("tiny", place)
tiny = importlib.util.module_from_spec(found); found.loader.exec_module(tiny)
from ddpm_core.bundle.export import export_onnx
net = tiny.tiny_unet(tiny.tiny_spec(), learned_variance=True)
print(hashlib.sha256(export_onnx(net, tiny.tiny_spec(), opset=20)).hexdigest())
"""


@pytest.mark.slow
def test_another_process_in_another_folder_exports_the_same_bytes(
    conditional: tuple[nn.Module, bytes], tmp_path: Path
) -> None:
    script = tmp_path / "elsewhere.py"
    script.write_text(ANEW)
    command = [sys.executable, str(script), str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=True)
    assert done.stdout.split()[-1] == sha256_bytes(conditional[1])
    assert done.stderr == ""


def test_a_model_without_labels_has_no_label_input() -> None:
    import onnx

    spec = tiny_spec(channels=3, classes=())
    net = tiny_unet(spec)
    model = export_onnx(net, spec, opset=OPSET)
    assert [value.name for value in onnx.load_from_string(model).graph.input] == ["x", "t"]
    check(net, runner(model), spec)


def test_conditions_of_any_shape_are_inputs_by_their_names() -> None:
    class Forecast(nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor, history: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
            return x * t[:, None] + history.sum(dim=2) + kind[:, None]

    conditions = {"history": Condition((2, 5), "float32", (), None), "kind": Condition((), "int64", ("a", "b"), 2)}
    spec = DataSpec((2,), None, None, conditions)
    model = export_onnx(Forecast(), spec, opset=OPSET)
    assert check(Forecast(), runner(model), spec) < 1e-6
    x, t, history = np.ones((3, 2), np.float32), np.ones(3, np.float32), np.ones((3, 2, 5), np.float32)
    told = {"kind": np.array([0, 1, 2]), "history": history}
    assert runner(model)(x, t, told).tolist() == [[6.0, 6.0], [7.0, 7.0], [8.0, 8.0]]


def test_a_graph_that_answers_otherwise_is_refused(conditional: tuple[nn.Module, bytes]) -> None:
    net, model = conditional
    run = runner(model)
    with pytest.raises(
        ExportError, match=r"to within export.parity_tolerance = 0.0001, got a difference of .* at a ba"
    ):
        check(net, lambda x, t, cond: run(x, t, cond) + np.float32(0.01), tiny_spec())
    with pytest.raises(ExportError, match=r"finite values .* batch of 1"):
        check(net, lambda x, t, cond: run(x, t, cond) * np.float32(np.nan), tiny_spec())
    with pytest.raises(ExportError, match=r"finite values \(3, 2, 8, 8\) for a batch of 3, got \(1, 2, 8"):
        check(net, lambda x, t, cond: run(x, t, cond)[:1], tiny_spec())
    assert PARITY_BATCHES == (1, 3, 16)


def test_a_network_that_onnx_cannot_say_is_refused() -> None:
    class Strange(nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return x * float(x.sum().item() > 0) if x.sum() > 0 else torch.linalg.eigvals(x).real

    with pytest.raises(
        ExportError, match=r"must be one that torch.onnx can export at opset 20.*try another export.ops"
    ):
        export_onnx(Strange(), tiny_spec(classes=()), opset=OPSET)


def test_a_network_beyond_one_file_is_refused_before_it_is_tried() -> None:
    class Huge(nn.Module):
        def state_dict(self, *args: Any, **others: Any) -> dict[str, torch.Tensor]:
            return {"w": torch.empty(1, dtype=torch.float32).expand(2**29)}

    with pytest.raises(ExportError, match=r"an ONNX file holds less than 2 GiB of weights, got 2147483648 bytes"):
        export_onnx(Huge(), tiny_spec(), opset=OPSET)
