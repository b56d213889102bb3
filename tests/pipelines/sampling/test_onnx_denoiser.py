"""The GPU is taken where it answers, else the CPU or an error: a broken provider is faked at onnxruntime's edge."""

import ctypes
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from ddpm_core.bundle.format import Bundle
from ddpm_core.errors import DeviceError, IntegrityError
from ddpm_core.samplers.config import GuidanceConfig
from pipelines.sampling import onnx_denoiser
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.onnx_denoiser import OnnxDenoiser, in_one_shape
from pipelines.sampling.parallel import _Setup
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec, unopenable_graph

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
REAL = onnxruntime.InferenceSession
LABELS, SEEDS = [0, 1, 2, None, 1], [7, 3, 1, 4, 5]


class FakeGpu:
    """A session that says it runs on CUDA and computes on the CPU; each question's batch size is written down."""

    providers = (CUDA, CPU)
    asked: list[int] = []  # noqa: RUF012  emptied by the fixture

    def __init__(self, model: bytes, options: Any, providers: list[Any], **words: Any) -> None:
        assert not words.get("enable_fallback", 1)  # onnxruntime's own fallback prints to stdout
        self._gpu = any(isinstance(provider, tuple) for provider in providers)
        self._real = REAL(model, options, providers=[CPU])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return list(self.providers) if self._gpu else [CPU]

    def run(self, names: list[str], feeds: dict[str, Any]) -> Any:
        if self._gpu:
            self.asked.append(len(feeds["x"]))
            self.fail(feeds)
        return self._real.run(names, feeds)

    def fail(self, feeds: dict[str, Any]) -> None:
        pass


class NoCudnn(FakeGpu):
    def fail(self, feeds: dict[str, Any]) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 11 : EP_FAIL : Failed to load libcudnn.so.9")


class Loses(FakeGpu):
    providers = (CPU,)


class NotCreated(FakeGpu):
    def __init__(self, model: bytes, options: Any, providers: list[Any], **words: Any) -> None:
        super().__init__(model, options, providers, **words)
        if self._gpu:
            raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[FakeGpu]], None]:
    """A machine with a GPU as onnxruntime shows it, whose sessions are of this kind."""

    def be(kind: type[FakeGpu]) -> None:
        FakeGpu.asked.clear()
        monkeypatch.setattr(onnx_denoiser, "gpu_count", lambda: 1)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcurand.so.10: no such file"))
        monkeypatch.setattr(onnxruntime, "InferenceSession", kind)

    return be


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "b")


BROKEN = [(NoCudnn, "libcudnn.so.9"), (Loses, "could not start its CUDA provider"), (NotCreated, "driver version is")]


@pytest.mark.parametrize(("kind", "why"), BROKEN)
def test_auto_goes_on_with_the_cpu_and_one_warning_that_says_why_and_how_to_mend(
    bundle: Bundle, machine: Any, caplog: pytest.LogCaptureFixture, kind: type[FakeGpu], why: str
) -> None:
    cpu = Sampler(bundle, "cpu")
    on_cpu = cpu.sample(cpu.recipe(), SEEDS, {"label": LABELS})
    machine(kind)
    sampler = Sampler(bundle, "auto")
    assert sampler.device == "cpu"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    for word in (why, "libcurand.so.10", "make install-serve-gpu", "ddpm doctor"):
        assert word in warnings[0]
    assert np.array_equal(sampler.sample(sampler.recipe(), SEEDS, {"label": LABELS}), on_cpu)


@pytest.mark.parametrize(("kind", "why"), BROKEN)
def test_cuda_is_an_error_that_says_the_same(bundle: Bundle, machine: Any, kind: type[FakeGpu], why: str) -> None:
    machine(kind)
    with pytest.raises(DeviceError) as caught:
        OnnxDenoiser(bundle, "cuda")
    for word in (why, "libcurand.so.10", "make install-serve-gpu", "ddpm doctor"):
        assert word in str(caught.value)


def test_a_gpu_that_answers_for_one_picture_is_taken(
    bundle: Bundle, machine: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    machine(FakeGpu)
    assert OnnxDenoiser(bundle, "auto").device == "cuda"
    assert FakeGpu.asked == [1]
    assert capfd.readouterr().out == ""  # preload_dlls prints


def test_the_cpu_is_asked_nothing_at_the_start(bundle: Bundle, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(FakeGpu)
    monkeypatch.setattr(FakeGpu, "run", lambda *words: pytest.fail("the CPU was asked"))
    assert OnnxDenoiser(bundle, "cpu").device == "cpu"


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_graph_of_another_shape_is_the_graph_s_fault(tmp_path: Path, machine: Any, device: str) -> None:
    wrong = tiny_bundle(tmp_path / "wrong", model=tiny_graph(tiny_spec(side=4)))
    machine(FakeGpu)
    with pytest.raises(IntegrityError, match=r"as bundle\.json says"):
        OnnxDenoiser(wrong, device)
    machine(NotCreated)
    with pytest.raises(IntegrityError, match="can open"):
        OnnxDenoiser(tiny_bundle(tmp_path / "none", model=unopenable_graph()), device)


@pytest.mark.parametrize(("size", "asked"), [(1, [1, 1, 1]), (2, [2, 2]), (3, [3]), (5, [5])])
def test_questions_of_any_length_are_asked_in_one_shape(size: int, asked: list[int]) -> None:
    seen = []

    def net(x: Any, t: Any, cond: Any) -> Any:
        label = cond["label"]
        seen.append(len(x))
        assert len(t) == len(label) == len(x)
        return x * t[:, None] + label[:, None]

    x, t, label = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0, 3.0]), np.array([5, 6, 7])
    got = in_one_shape(net, size)(x, t, {"label": label})  # type: ignore[arg-type]
    assert seen == asked
    assert np.array_equal(got, x * t[:, None] + label[:, None])


@pytest.mark.parametrize("guidance", [GuidanceConfig(0.0, None, 0.0), GuidanceConfig(1.5, (0.3, 0.7), 0.5)])
def test_a_gpu_is_asked_in_one_batch_size_and_the_cpu_as_before(
    bundle: Bundle, machine: Any, guidance: GuidanceConfig
) -> None:
    cpu = Sampler(bundle, "cpu")
    on_cpu = cpu.sample(cpu.recipe(steps=8, guidance=guidance), SEEDS, {"label": LABELS})
    machine(FakeGpu)
    sampler = Sampler(bundle, "cuda")
    del FakeGpu.asked[:]
    made = sampler.sample(sampler.recipe(steps=8, guidance=guidance), SEEDS, {"label": LABELS}, batch_size=2)
    assert set(FakeGpu.asked) == {2}  # guided or not, and the last batch of one too
    assert np.array_equal(made, on_cpu)
    del FakeGpu.asked[:]
    sampler.sample(sampler.recipe(guidance=guidance), SEEDS, {"label": LABELS}, batch_size=64)
    assert set(FakeGpu.asked) == {5}
    del FakeGpu.asked[:]
    # as a process does with the last batch of many
    sampler.sample(sampler.recipe(guidance=guidance), [2], {"label": [1]}, gpu_batch=3)
    assert set(FakeGpu.asked) == {3}


def test_a_process_is_told_the_batch_size_of_the_whole_run() -> None:
    assert {"batch_size", "engine"} <= set(_Setup.__dataclass_fields__)


def repeats(bundle: Bundle, device: str) -> None:
    """Equal bits from the same question: within a session, and in another one."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(16, *bundle.spec.shape)).astype(np.float32)
    t, label = np.linspace(1, 40, 16, dtype=np.float32), np.arange(16, dtype=np.int64) % 4
    first, second = OnnxDenoiser(bundle, device), OnnxDenoiser(bundle, device)
    want = first(x, t, {"label": label}).tobytes()
    assert [net(x, t, {"label": label}).tobytes() for net in (first, first, first, second, second)] == [want] * 5
    sampler = Sampler(bundle, device)
    first_made, second_made = (sampler.sample(sampler.recipe(guidance=1.0), SEEDS, {"label": LABELS}) for _ in range(2))
    assert np.array_equal(first_made, second_made)


def test_repeats_give_equal_bits_on_the_cpu(bundle: Bundle) -> None:
    repeats(bundle, "cpu")


def _has_driver() -> bool:
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


@pytest.mark.skipif(
    not _has_driver() or CUDA not in onnxruntime.get_available_providers(), reason="needs a GPU and onnxruntime-gpu"
)
def test_repeats_give_equal_bits_on_a_gpu(bundle: Bundle) -> None:
    repeats(bundle, "cuda")
