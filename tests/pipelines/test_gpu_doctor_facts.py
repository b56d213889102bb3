"""What `ddpm doctor` takes as given of onnxruntime: its libraries on a GPU, and the small graph that it runs."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from pipelines.gpu_doctor import CONVOLUTION, needed_libraries


def test_libraries_are_those_of_the_major_version() -> None:
    assert {"libcudart.so.12", "libcublas.so.12", "libcudnn.so.9"} <= set(needed_libraries("12.8"))


def test_the_small_graph_is_a_convolution_that_onnx_accepts() -> None:
    import onnxruntime

    model = onnx.load_model_from_string(CONVOLUTION)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    session = onnxruntime.InferenceSession(CONVOLUTION, providers=["CPUExecutionProvider"])
    ones = np.ones((1, 1, 3, 3), dtype=np.float32)
    assert session.run(None, {"x": ones, "w": ones})[0].item() == 9.0


def test_the_linked_libraries_of_this_runtime_are_all_in_the_list() -> None:
    """Read from the provider itself, where it lies here: a new one that it links must be looked for and installed."""
    import onnxruntime

    provider = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not provider.is_file():
        pytest.skip("needs onnxruntime-gpu")
    data = provider.read_bytes()
    for name in needed_libraries(onnxruntime.cuda_version):
        assert name.split(".so")[0].encode() in data
    assert b"libcufft.so" not in data  # nor is its wheel in the extra `serve-gpu`
