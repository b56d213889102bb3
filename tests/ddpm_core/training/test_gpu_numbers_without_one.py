"""What a GPU computes with, as far as it shows without one: precision, order, noise, profiles."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from fake_gpu import CUDA
from torch import Tensor

from ddpm_core.device import dtype_of, make_repeatable, normal, pick_precision, set_order, set_precision
from ddpm_core.errors import DeviceError
from ddpm_core.objectives.batch import Batch
from ddpm_core.training import compiled, spans
from ddpm_core.training.profile import SPANS, milliseconds, table

# ------------------------------------------------------------------------------------------------- precision and order


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch's switches, which these tests turn, as they were."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "x")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    mode, benchmark = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
    torch.set_deterministic_debug_mode(mode)
    torch.backends.cudnn.benchmark = benchmark
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


def _switches() -> tuple[bool, bool, str]:
    """Torch's own, each of which it refuses to read where the older and the newer were mixed."""
    newer = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    assert all(isinstance(value, str) for value in newer)
    older = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return *older, torch.get_float32_matmul_precision()


def test_tf32_is_refused_on_a_cpu_with_the_mend() -> None:
    with pytest.raises(DeviceError, match=r"precision.*tf32.*CPU.*set it to auto or fp32"):
        pick_precision("tf32", tiny.CPU)
    assert pick_precision("tf32", CUDA) == "tf32"


def test_autocast_computes_in_bfloat16_for_bf16_alone() -> None:
    assert [dtype_of(name) for name in ("bf16", "tf32", "fp32")] == [torch.bfloat16, torch.float32, torch.float32]


@pytest.mark.usefixtures("_restored")
def test_a_precision_sets_products_and_convolutions_alike_back_and_forth() -> None:
    off, on = (False, False, "highest"), (True, True, "high")
    for precision, expected in (("fp32", off), ("tf32", on), ("fp32", off), ("bf16", on), ("fp32", off)):
        set_precision(precision)  # type: ignore[arg-type]
        assert _switches() == expected


@pytest.mark.usefixtures("_restored")
def test_repeatable_alone_is_float32() -> None:
    set_precision("tf32")
    make_repeatable(torch.get_num_threads())
    assert _switches() == (False, False, "highest")
    make_repeatable(torch.get_num_threads(), "tf32")
    assert _switches() == (True, True, "high")


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(
    ("order", "mode", "benchmark"), [("fixed", 2, False), ("fixed if possible", 1, False), ("any", 0, True)]
)
@pytest.mark.parametrize("on_gpu", [True, False], ids=["gpu", "cpu"])
def test_an_order_is_kept_by_an_error_a_warning_or_not_and_by_a_cpu_always(
    order: Any, mode: int, benchmark: bool, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    set_order(order)
    found = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    assert found == ((mode, benchmark) if on_gpu else (1, False))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


# --------------------------------------------------------------------------------------------------------------- noise


class _OnCuda(str):
    """A CPU that says it is a GPU."""

    type = "cuda"


class _Generator(torch.Generator):
    device = _OnCuda("cpu")  # type: ignore[assignment]


@pytest.mark.parametrize("shape", [(3,), (2**15,), (2**15 + 1,), (5, 3, 97, 101), (40, 2**12)])
def test_a_gpu_draws_its_noise_in_chunks_that_any_gpu_deals_out_alike(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    fill = Tensor.normal_

    def seen(self: Tensor, *arguments: Any, **named: Any) -> Tensor:
        sizes.append(self.numel())
        return fill(self, *arguments, **named)

    monkeypatch.setattr(Tensor, "normal_", seen)
    found = normal(shape, _Generator().manual_seed(7), torch.float32)
    whole, rest = divmod(found.numel(), 2**15)
    assert sizes == whole * [2**15] + ([rest] if rest else [])
    monkeypatch.undo()
    one = torch.Generator().manual_seed(7)
    chunks = [torch.randn(size, generator=one) for size in sizes]
    assert torch.equal(found, torch.cat(chunks).reshape(shape))


def test_a_cpu_draws_what_torch_draws() -> None:
    for shape in [(3,), (2, 3, 150, 151)]:
        for dtype in (torch.float32, torch.float64):
            expected = torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=dtype)
            assert torch.equal(normal(shape, torch.Generator().manual_seed(7), dtype), expected)


# ------------------------------------------------------------------------------------------ profile, compiler, weights


def test_a_span_that_a_profile_lists_for_host_and_gpu_has_the_hosts_time() -> None:
    kinds = torch.profiler.DeviceType
    rows = [(name, 1000.0 * number) for number, name in enumerate((*SPANS, "step"), 1)]
    twice = [
        SimpleNamespace(key=name, cpu_time_total=time, device_type=kind)
        for name, whole in [*rows, ("aten::add", 5.0)]
        for kind, time in ((kinds.CPU, whole), (kinds.CUDA, 0.0))
    ]
    for events in (twice, twice[::-1]):
        found = milliseconds(events)
        assert found == {name: whole / 1000 for name, whole in rows}
        assert "other" in table(found)


def test_spans_wait_for_a_gpu_while_it_is_watched_and_for_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    for watched, times in ((CUDA, 2), (tiny.CPU, 0)):
        waited.clear()
        with spans.watched(watched):
            for _ in range(2):
                with spans.span("forward"):
                    before = len(waited)
                assert len(waited) - before == times // 2
        with spans.span("forward"):
            pass
        assert waited == times * [CUDA]


@pytest.mark.parametrize("where", [tiny.CPU, CUDA], ids=str)
def test_there_is_no_compiler_without_pythons_header_files(
    where: torch.device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(compiled.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert not compiled._has_compiler(where)
    (tmp_path / "Python.h").touch()
    assert compiled._has_compiler(where)


def test_a_weight_for_all_items_counts_in_every_part() -> None:
    batch, objective, net = next(tiny.batches(0)), tiny.objective(), tiny.Net(0.0)
    weight = torch.tensor([[1.0, 2.0, 0.5], [0.25, 4.0, 3.0]])[None]
    draw = objective.draw(Batch(batch.x0, batch.cond, weight=weight), 3, 0)
    whole = objective.loss(net, draw)
    assert whole.total.item() > 0
    for number in (2, 3, 8):
        losses = [objective.loss(net, part) for part in draw.parts(number)]
        assert sum(loss.total.item() for loss in losses) == pytest.approx(whole.total.item(), rel=1e-6)
        torch.testing.assert_close(torch.cat([loss.items for loss in losses]), whole.items)
