"""Every check of the GPU says what is there, or what is missing and how to mend it; the GPU is faked at the edge."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines import doctor, gpu_doctor
from pipelines.gpu_doctor import Check, Missing, NotHere, examine_gpu


class FakeDriver:
    """libcuda.so.1 as ctypes shows it."""

    def __init__(self, names: tuple[bytes, ...] = (b"NVIDIA H100",), version: int = 13000, init: int = 0) -> None:
        self._names, self._version, self._init = names, version, init

    def cuInit(self, flags: int) -> int:
        return self._init

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self._names)
        return 0

    def cuDeviceGetName(self, text: Any, size: int, number: int) -> int:
        text.value = self._names[number]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self._version
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    return lambda fake: monkeypatch.setattr(gpu_doctor, "_cuda_driver", lambda: fake)


def fake_torch(**words: Any) -> SimpleNamespace:
    """As much of torch as the checks look at, on a machine with one H100."""
    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_arch_list": lambda: ["sm_80", "sm_90", "compute_90"],
        "get_device_capability": lambda number: (9, 0),
        "is_bf16_supported": lambda including_emulation: True,
        "nccl": SimpleNamespace(version=lambda: (2, 30, 7)),
    }
    distributed = SimpleNamespace(is_available=lambda: True, is_nccl_available=lambda: words.get("nccl", True))
    cuda.update({name: value for name, value in words.items() if name in cuda})
    return SimpleNamespace(
        version=SimpleNamespace(cuda=words.get("built", "13.0")), cuda=SimpleNamespace(**cuda), distributed=distributed
    )


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return lambda **words: monkeypatch.setattr(gpu_doctor, "_torch", lambda: fake_torch(**words))


@pytest.mark.parametrize("fake", [None, FakeDriver(init=100), FakeDriver(names=())])
def test_without_a_gpu_one_line_says_so_and_nothing_is_wrong(driver: Any, fake: Any) -> None:
    driver(fake)
    lines, faults = examine_gpu([Check("never", lambda: pytest.fail("looked at"), "")])
    assert len(lines) == 1
    assert "CPU" in lines[0][1]
    assert faults == []


def test_driver_and_gpus_are_told(driver: Any) -> None:
    driver(FakeDriver((b"NVIDIA H100", b"NVIDIA H200"), 13020))
    assert gpu_doctor.gpus() == "2: NVIDIA H100, NVIDIA H200"
    assert gpu_doctor.driver_cuda() == (13, 2)
    assert "13.2" in gpu_doctor.driver()


def test_a_check_that_fails_hides_no_other_and_says_how_to_mend_it(driver: Any) -> None:
    driver(FakeDriver())

    def missing() -> str:
        raise Missing("no such thing")

    def broken() -> str:
        raise OSError("driver gone")

    def elsewhere() -> str:
        raise NotHere("no torch")

    table = [Check("a", missing, "mend a"), Check("b", broken, "mend b"), Check("c", elsewhere, "mend c")]
    lines, faults = examine_gpu([*table, Check("d", lambda: "there", "mend d")])
    assert [name for name, _ in lines] == ["a", "b", "c", "d"]
    assert lines[3] == ("d", "there")
    assert faults == ["a: no such thing; mend a", "b: driver gone; mend b"]


def test_every_check_has_a_way_to_mend_it_and_doctor_shows_them(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = gpu_doctor.checks()
    assert len({check.name for check in table}) == len(table)
    assert all(check.mend for check in table)
    driver(FakeDriver())
    monkeypatch.setattr(gpu_doctor, "checks", lambda: (Check("torch's CUDA", lambda: "built for 13.0", "x"),))
    assert "torch's CUDA" in doctor.examine(None).text()


@pytest.mark.parametrize(
    ("built", "supported", "fault"),
    [("13.2", 13000, None), ("12.8", 13000, None), ("13.0", 12080, "12.8 at most"), (None, 13000, "for the CPU alone")],
)
def test_torch_must_not_be_built_for_a_newer_cuda_than_the_driver_s(
    driver: Any, torch: Any, built: str | None, supported: int, fault: str | None
) -> None:
    driver(FakeDriver(version=supported))
    torch(built=built)
    if fault is None:
        assert gpu_doctor.torch_cuda() == f"built for {built}"
    else:
        with pytest.raises(Missing, match=fault):
            gpu_doctor.torch_cuda()


@pytest.mark.parametrize(
    ("known", "runs"),
    [
        (["sm_90"], True),
        (["sm_80"], False),
        (["sm_90a"], True),
        (["compute_80"], True),
        (["compute_100"], False),
        (["sm_100"], False),
        ([], False),
    ],
)
def test_the_gpu_s_capability_must_be_known_to_torch(torch: Any, known: list[str], runs: bool) -> None:
    torch(get_arch_list=lambda: known)
    if runs:
        assert "9.0" in gpu_doctor.torch_kernels()
    else:
        with pytest.raises(Missing, match=r"compute capability 9\.0"):
            gpu_doctor.torch_kernels()


def test_a_smaller_minor_version_runs_and_an_exact_one_does_not(torch: Any) -> None:
    torch(get_arch_list=lambda: ["sm_80"], get_device_capability=lambda number: (8, 6))
    assert "8.6" in gpu_doctor.torch_kernels()
    torch(get_arch_list=lambda: ["sm_80a"], get_device_capability=lambda number: (8, 6))
    with pytest.raises(Missing):
        gpu_doctor.torch_kernels()


def test_bf16_and_nccl_are_told(torch: Any) -> None:
    torch()
    assert gpu_doctor.bfloat16() == "in hardware"
    assert gpu_doctor.nccl() == "2.30.7"
    torch(is_bf16_supported=lambda including_emulation: False, nccl=False)
    assert "float32" in gpu_doctor.bfloat16()
    with pytest.raises(Missing, match="NCCL"):
        gpu_doctor.nccl()


@pytest.mark.parametrize("look", ["torch_kernels", "torch_multiplies", "torch_cudnn", "bfloat16", "compiling"])
def test_a_gpu_that_torch_does_not_see_is_missing(torch: Any, look: str) -> None:
    torch(is_available=lambda: False)
    with pytest.raises(Missing, match="torch sees no GPU"):
        getattr(gpu_doctor, look)()


def test_compiling_needs_triton_a_compiler_and_python_s_header(
    torch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch()
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(Missing, match="triton"):
        gpu_doctor.compiling()
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.6"))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(gpu_doctor.shutil, "which", lambda name: None)
    with pytest.raises(Missing, match="C compiler"):
        gpu_doctor.compiling()
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.setattr(gpu_doctor.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(Missing, match=r"Python\.h"):
        gpu_doctor.compiling()
    (tmp_path / "Python.h").touch()
    assert gpu_doctor.compiling() == "triton 3.6, gcc, Python.h"


# ------------------------------------------------------------------------------------------------- onnxruntime


class Session:
    """The convolution's session, with this answer and these providers."""

    def __init__(self, providers: list[str], answer: float) -> None:
        self._providers, self._answer = providers, answer

    def get_providers(self) -> list[str]:
        return self._providers

    def run(self, names: Any, feeds: dict[str, Any]) -> list[Any]:
        return [np.full((1, 1, 1, 1), self._answer, dtype=np.float32)]


def fake_runtime(
    monkeypatch: pytest.MonkeyPatch, built: tuple[str, ...] = ("CUDA", "CPU"), answer: float = 9.0, kept: Any = None
) -> None:
    names = [f"{name}ExecutionProvider" for name in built]
    left = names if kept is None else [f"{name}ExecutionProvider" for name in kept]
    runtime = SimpleNamespace(
        __version__="1.31.1",
        cuda_version="13.0",
        get_available_providers=lambda: names,
        preload_dlls=lambda: print("Failed to load libcublas.so.13"),
        SessionOptions=SimpleNamespace,
        InferenceSession=lambda *words, **more: Session(left, answer),
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)


def test_a_runtime_for_the_cpu_is_missing_cuda_and_is_not_looked_at_further(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runtime(monkeypatch, ("CPU",))
    with pytest.raises(Missing, match="CPU alone"):
        gpu_doctor.runtime_provider()
    for look in (gpu_doctor.runtime_libraries, gpu_doctor.runtime_runs):
        with pytest.raises(NotHere):
            look()


def test_each_library_that_cannot_be_loaded_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_runtime(monkeypatch)

    def load(name: str) -> None:
        if "cudnn" in name or "curand" in name:
            raise OSError("no such file")

    monkeypatch.setattr(gpu_doctor.ctypes, "CDLL", load)
    with pytest.raises(Missing, match=r"libcurand\.so\.10 .*libcudnn\.so\.9 ") as caught:
        gpu_doctor.runtime_libraries()
    assert "libcublas" not in str(caught.value)
    monkeypatch.setattr(gpu_doctor.ctypes, "CDLL", lambda name: None)
    assert "libcublas.so.13" in gpu_doctor.runtime_libraries()
    assert capfd.readouterr().out == ""


def test_the_first_run_must_be_on_the_gpu_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runtime(monkeypatch)
    assert "right" in gpu_doctor.runtime_runs()
    fake_runtime(monkeypatch, answer=8.0)
    with pytest.raises(Missing, match="must be 9"):
        gpu_doctor.runtime_runs()
    fake_runtime(monkeypatch, kept=("CPU",))
    with pytest.raises(Missing, match="does not start"):
        gpu_doctor.runtime_runs()


def test_the_provider_is_the_one_that_ran_a_convolution(
    driver: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(None)
    assert gpu_doctor.sampling_provider().startswith("CPU (a convolution ran there; no GPU")
    driver(FakeDriver())

    def fails() -> str:
        raise Missing("libcudnn.so.9")

    monkeypatch.setattr(gpu_doctor, "runtime_libraries", fails)
    assert gpu_doctor.sampling_provider().startswith("CPU (")
    assert "libcudnn.so.9" in gpu_doctor.sampling_provider()
    monkeypatch.setattr(gpu_doctor, "runtime_libraries", str)
    monkeypatch.setattr(gpu_doctor, "runtime_runs", str)
    assert gpu_doctor.sampling_provider().startswith("CUDA (")
