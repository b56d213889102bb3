"""benchmarks/gpu_acceptance.py: no check stops another, the file is there after each, and in toy size all hold here."""

import importlib
import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.imports import ROOT

MISSING = ("pydantic", "webdataset", "mlflow", "mlxtend", "ruamel", "onnx", "onnxruntime", "diffusers", "PIL")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("gpu_acceptance")


def run_of(script: ModuleType, out: Path | None, *checks: Any, minutes: float = 9.0, clock: Any = None) -> Any:
    numbered = [script.Check(number, run.__name__, run, 5.0) for number, run in enumerate(checks, 1)]
    return script.Run(numbered, None, out, minutes, **({"clock": clock} if clock else {}))


def holds(_context: Any, record: Any) -> None:
    record.at_most("apart", 0.5, 1.0)


def breaks(_context: Any, record: Any) -> None:
    record.note("so far", 3)
    raise ValueError("no such kernel")


def misses(_context: Any, record: Any) -> None:
    record.at_least("speed", 2.0, 5.0)
    record.must("equal", False, ["weight"])


def lacks(_context: Any, _record: Any) -> None:
    module = sys.modules["gpu_acceptance"]
    raise module.LeftOut("no diffusers")


def test_a_check_that_raises_stops_no_other_and_its_traceback_is_kept(script: ModuleType, tmp_path: Path) -> None:
    run = run_of(script, tmp_path / "found.json", breaks, holds, misses, lacks)
    assert not run.all()
    found = json.loads((tmp_path / "found.json").read_text())["checks"]
    assert [check["status"] for check in found] == ["fail", "pass", "fail", "left out"]
    assert found[0]["numbers"] == {"so far": 3}
    assert "ValueError: no such kernel" in found[0]["traceback"]
    assert "in breaks" in found[0]["traceback"]
    assert found[1]["bars"] == {"apart": "<= 1"}
    assert [failure.split(":")[0] for failure in found[2]["failures"]] == ["speed", "equal"]
    assert found[3]["why"] == "no diffusers"


def test_what_passes_or_is_left_out_is_no_failure(script: ModuleType) -> None:
    assert run_of(script, None, holds, lacks).all()


def test_the_file_is_written_after_every_check_and_within_one(script: ModuleType, tmp_path: Path) -> None:
    out, seen = tmp_path / "found.json", []

    def looks(_context: Any, record: Any) -> None:
        seen.append([check["name"] for check in json.loads(out.read_text())["checks"]])
        record.note("part", 1)
        record.flush()
        seen.append(json.loads(out.read_text())["checks"][-1]["numbers"])

    assert run_of(script, out, holds, looks).all()
    assert seen == [["holds"], {"part": 1}]
    assert [file.name for file in tmp_path.iterdir()] == ["found.json"]


def test_a_number_that_is_none_meets_no_bar_and_is_written_as_a_word(script: ModuleType, tmp_path: Path) -> None:
    def nan(_context: Any, record: Any) -> None:
        record.at_most("low", float("nan"), 1.0)
        record.at_least("high", float("nan"), 1.0)

    run = run_of(script, tmp_path / "found.json", nan)
    assert not run.all()
    assert len(run.records[0].failures) == 2
    assert json.loads((tmp_path / "found.json").read_text())["checks"][0]["numbers"]["low"] == "nan"


def test_a_check_that_no_longer_fits_is_left_out(script: ModuleType) -> None:
    now = [0.0]

    def slow(_context: Any, _record: Any) -> None:
        now[0] += 58.0

    run = run_of(script, None, slow, holds, minutes=1.0, clock=lambda: now[0])
    assert run.all()
    assert [record.status for record in run.records] == ["pass", "left out"]
    assert run.records[0].seconds == 58
    assert "no time" in run.records[1].why


def test_the_table_has_a_line_a_check_and_each_failure(script: ModuleType) -> None:
    run = run_of(script, None, holds, misses, lacks)
    run.all()
    text = script.table(run.records)
    assert [line.split()[1] for line in text.splitlines() if line[:2].strip().isdigit()] == ["holds", "misses", "lacks"]
    assert "equal: must hold, got ['weight']" in text
    assert text.splitlines()[-1] == "pass: 1, fail: 1, left out: 1"


def test_a_draw_moves_to_another_device_as_a_whole(script: ModuleType) -> None:
    common, checks = (importlib.import_module(name) for name in ("gpu_common", "gpu_checks"))
    spec = common.Context.of("cpu", True, None, None, False).default[1]
    draw = common.objective_of(spec).draw(common.batch_of(spec, 4, 0), 5, 0)
    moved = checks.moved(draw, torch.device("meta"))
    assert {tensor.device.type for tensor in moved.tensors()} == {"meta"}


def test_every_check_of_the_table_is_there_once_and_speed_is_last(script: ModuleType) -> None:
    numbers = [check.number for check in script.checks()]
    assert sorted(numbers) == list(range(1, 15))
    assert numbers[-3:] == [11, 13, 14]


def test_shares_are_read_off_a_profile(script: ModuleType) -> None:
    more = importlib.import_module("gpu_checks_more")
    from ddpm_core.training.profile import table

    shares = more.table_shares(table({"step": 10.0, "forward": 4.0, "backward": 5.0}) + "\nmean of 3 steps\n")
    assert (shares["forward"], shares["backward"], shares["other"], shares["step"]) == (40.0, 50.0, 10.0, 100.0)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("sm90_xmma_wgrad_implicit_gemm_indexed_bf16bf16_bf16f32_f32_tilesize128x128x64_warpgroupsize1x1x1", "weights"),
        ("sm90_xmma_dgrad_implicit_gemm_bf16bf16_bf16f32_f32_nhwc_tilesize128x128x64", "data"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64", "convolution"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_TNT", "product"),
        ("triton_red_fused_native_group_norm_3", "reduction"),
        ("triton_poi_fused__to_copy_add_convolution_silu_12", "pointwise"),
        ("void cudnn::ops::nchwToNhwcKernel<__nv_bfloat16, float>", "layout"),
        ("Memcpy HtoD (Pinned -> Device)", "copy"),
        ("pytorch_flash::flash_bwd_kernel", "attention"),
        ("something new", "rest"),
    ],
)
def test_a_kernel_is_of_a_kind_by_its_name(script: ModuleType, kernel: str, kind: str) -> None:
    assert kind in importlib.import_module("gpu_kernels").kind_of(kernel)


def test_a_picture_is_a_png_of_its_pixels(script: ModuleType) -> None:
    training = importlib.import_module("gpu_training")
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    data = training.png(image)
    assert struct.unpack(">II", data[16:24]) == (7, 5)
    start = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[start - 4 : start])
    lines = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + size]), np.uint8).reshape(5, 22)
    np.testing.assert_array_equal(lines[:, 1:].reshape(5, 7, 3), image)
    assert not lines[:, 0].any()


def test_sections_become_the_configurations_that_the_pipeline_reads(script: ModuleType) -> None:
    training = importlib.import_module("gpu_training")
    from ddpm_core.models import UNetConfig
    from ddpm_core.objectives.diffusion_config import DiffusionConfig
    from ddpm_core.samplers.config import SampleConfig
    from ddpm_core.training.config import TrainConfig
    from pipelines.params import load_params, read_yaml

    params, raw = load_params(ROOT / "params.yaml"), read_yaml(ROOT / "params.yaml")
    kinds = {"model": UNetConfig, "diffusion": DiffusionConfig, "train": TrainConfig, "sample": SampleConfig}
    for name, kind in kinds.items():
        content = json.loads(json.dumps({**raw[name], "of another version": 1}))
        wanted = getattr(params, name)
        if name == "train":  # no trainer reads how data are augmented
            wanted = replace(wanted, augment=raw[name]["augment"])
        assert training.built(kind, content) == wanted, name


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_in_toy_size_every_check_holds_on_a_cpu_with_torch_and_numpy_alone(tmp_path: Path) -> None:
    packed, out = tmp_path / "digits.npz", tmp_path / "out" / "found.json"
    subprocess.run([sys.executable, str(ROOT / "benchmarks" / "gpu_pack.py"), str(packed)], check=True, timeout=300)
    assert packed.stat().st_size < 2e6
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor name in " + repr(MISSING) + ":\n    sys.modules[name] = None\n"
    )
    words = ["--tiny", "--device", "cpu", "--minutes", "60", "--data", str(packed), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu_acceptance.py"), *words],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=1700,
    )
    found = {check["number"]: check for check in json.loads(out.read_text())["checks"]}
    assert {number: check["status"] for number, check in found.items()} == dict.fromkeys(range(1, 15), "pass"), done
    assert done.returncode == 0
    assert (out.parent / "gpu-samples.png").read_bytes().startswith(b"\x89PNG")
    assert (out.parent / "gpu-weights.sha256").read_text().strip() == found[12]["numbers"]["weights"]
