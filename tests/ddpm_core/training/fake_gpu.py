"""A GPU that does not exist: tensors with a device and no numbers, and graphs that only count their replays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ddpm_core.objectives import diffusion
from ddpm_core.training import replayed

CUDA = torch.device("cuda", 0)


def _only_on_the_gpu(*lists: Any, **further: Any) -> None:
    """Stands for a fused kernel, which takes nothing of another device."""
    for value in (*lists, *further.values()):
        tensors = value if isinstance(value, list) else [value]
        assert all(tensor.device == CUDA for tensor in tensors if isinstance(tensor, Tensor))


def _zeros(parameters: Callable[[], Iterator[nn.Parameter]]) -> Callable[[Tensor], None]:
    def backward(_total: Tensor) -> None:
        for parameter in parameters():
            parameter.grad = torch.zeros_like(parameter)

    return backward


@contextmanager
def no_gpu(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Iterator[nn.Module]:
    """The tiny network on it. To read a number raises, as does an operation on tensors of two devices."""
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _seed: None)
    monkeypatch.setattr(diffusion, "torch_generator", lambda *_arguments: None)
    monkeypatch.setattr(diffusion, "normal", lambda shape, _, dtype: torch.zeros(shape, device=CUDA, dtype=dtype))
    monkeypatch.setattr(FakeTensorMode, "__deepcopy__", lambda self, _memo: self, raising=False)
    for name in ("_fused_adam_", "_fused_adamw_"):  # torch has no fake of those that take a tensor for a rate
        monkeypatch.setattr(torch, name, _only_on_the_gpu)
    with FakeTensorMode():
        with torch.device(CUDA):
            net = tiny.Net(**arguments)
        net.to = lambda *_arguments, **_named: net  # type: ignore[method-assign]
        # torch's engine asks for a thread of a real device
        monkeypatch.setattr(Tensor, "backward", _zeros(net.parameters))
        yield net


class Graph:
    """Stands for torch.cuda.CUDAGraph: counts its replays."""

    made: list["Graph"]

    def __init__(self) -> None:
        self.replays = 0
        Graph.made.append(self)

    def replay(self) -> None:
        self.replays += 1


@contextmanager
def _recording(_graph: Graph, *, capture_error_mode: str) -> Iterator[None]:
    yield


def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Those that are made from here on; whoever records runs the function that once."""
    Graph.made = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", _recording)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_device: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(replayed, "_check_room", lambda: None)
    return Graph.made


def memory(monkeypatch: pytest.MonkeyPatch, *, used: int, free: int, reserved: int = 0, fraction: float = 1.0) -> None:
    """A GPU of 1000 bytes: what a call has used at most, and what is free."""
    answers: dict[str, Any] = {
        "max_memory_allocated": used,
        "memory_allocated": 0,
        "current_device": 0,
        "get_device_properties": SimpleNamespace(total_memory=1000),
        "get_per_process_memory_fraction": fraction,
        "memory_reserved": reserved,
        "mem_get_info": (free, 1000),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_device, answer=answer: answer)
