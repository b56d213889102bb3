"""A GPU's types and layouts, as far as they show without one: feature maps in bfloat16, Muon in channels_last."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from fake_gpu import CUDA
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm_core.models.config import UNetConfig
from ddpm_core.models.layers import GroupNorm, normed_by_channels
from ddpm_core.models.unet import UNet
from ddpm_core.training.muon import Muon, _together, orthogonal
from tests.support.grid import grid

# --------------------------------------------------------------------------------------------------------------- norms


@contextmanager
def _autocast_on_the_gpu() -> Iterator[None]:
    """As torch.autocast("cuda", torch.bfloat16), which is nothing where there is none."""
    before, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", before)
        torch.set_autocast_dtype("cuda", dtype)


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_a_norm_on_a_gpu_gives_the_type_it_gets_where_torchs_gives_float32(dtype: torch.dtype) -> None:
    with FakeTensorMode(), torch.device(CUDA), _autocast_on_the_gpu():
        x = torch.zeros(2, 8, 4, 4, dtype=dtype)
        assert GroupNorm(4, 8)(x).dtype == dtype
        assert nn.GroupNorm(4, 8)(x).dtype == torch.float32
        assert torch.is_autocast_enabled("cuda")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("autocast", [True, False])
def test_a_norm_on_a_cpu_is_torchs_to_the_bit(dtype: torch.dtype, autocast: bool) -> None:
    x = torch.randn(3, 8, 5, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    own, theirs = GroupNorm(4, 8), nn.GroupNorm(4, 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, expected = own(x), theirs(x)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize("channels_last", [True, False], ids=["channels_last", "contiguous"])
@pytest.mark.parametrize(
    ("shape", "groups", "mean", "tolerance"),
    [
        ((2, 8, 6, 5), 4, 0.0, 1e-5),
        ((3, 12, 1, 1), 2, 0.5, 1e-5),
        ((1, 6, 9, 9), 1, 0.0, 1e-5),
        ((2, 8, 16, 16), 8, 10.0, 1e-3),  # a hundredth of the squares is left: two digits are lost
    ],
)
def test_the_norm_by_channels_is_torchs_forward_and_back(
    shape: tuple[int, int, int, int], groups: int, mean: float, tolerance: float, channels_last: bool
) -> None:
    drawn = torch.Generator().manual_seed(1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = (mean + torch.randn(shape, generator=drawn)).contiguous(memory_format=layout)
    weight, bias, back = 1 + torch.randn(shape[1], generator=drawn), torch.randn(shape[1], generator=drawn), x.cos()

    def of(norm: Any, dtype: torch.dtype) -> list[Tensor]:
        inputs = [value.detach().to(dtype).requires_grad_() for value in (x, weight, bias)]
        y = norm(inputs[0], groups, inputs[1], inputs[2], 1e-5)
        return [y, *torch.autograd.grad(y, inputs, back.to(dtype))]

    for found, expected in zip(of(normed_by_channels, torch.float32), of(F.group_norm, torch.float64), strict=True):
        scale = expected.abs().max().item()
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance * max(1.0, scale))


class _Maps(TorchDispatchMode):
    """The types of all feature maps, told by their sides, that operations make."""

    def __init__(self, *sides: tuple[int, int]) -> None:
        super().__init__()
        self.types: list[torch.dtype] = []
        self._sides = sides

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple) else (made,):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.shape[2:] in self._sides:
                self.types.append(tensor.dtype)
        return made


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize(
    ("scale_shift", "resblock_updown", "refine"),
    grid(
        [(True, True, 0), (True, False, 4), (False, True, 4), (False, False, 0)], (True, False), (True, False), (0, 4)
    ),
)
def test_all_feature_maps_of_a_network_are_bfloat16_but_its_answer(
    scale_shift: bool, resblock_updown: bool, refine: int
) -> None:
    config = UNetConfig("unet", 2, 8, (1, 2), 1, (1,), 2, 2, 0.1, scale_shift, resblock_updown, refine)
    with FakeTensorMode(), torch.device(CUDA):
        net = UNet(config, (1, 8, 12), 0, False)
        x, t = torch.zeros(3, 1, 8, 12), torch.zeros(3)
        with _autocast_on_the_gpu(), _Maps((8, 12), (4, 6), (2, 3)) as maps:
            answer = net(x, t)
    assert answer.dtype == torch.float32
    assert len(maps.types) > 50
    wide = [place for place, dtype in enumerate(maps.types) if dtype == torch.float32]
    last = len(maps.types) - 1
    assert wide == ([0, last] if refine else [0, last - 1, last])  # data in patches; the answer, in patches and out


# ---------------------------------------------------------------------------------------------------------------- Muon

Kept = tuple[list[Tensor], list[Tensor]]  # weights and momenta


def _after_two_steps(*, channels_last: bool = False, tensor_rate: bool = False, bad_from: int = 2) -> Kept:
    torch.manual_seed(0)
    matrices = [nn.Parameter(torch.randn(shape)) for shape in [(8, 3, 3, 3), (8, 3, 3, 3), (6, 8, 1, 1), (5, 7)]]
    rest = [nn.Parameter(torch.randn(4))]
    if channels_last:
        for kernel in matrices[:3]:
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
    optimiser = Muon(matrices, rest, scale=10.0, momentum=0.9, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    for step in range(2):
        drawn = torch.Generator().manual_seed(step)
        for parameter in (*matrices, *rest):
            gradient = torch.randn(parameter.shape, generator=drawn)
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        bad = step >= bad_from
        if bad:
            for parameter in (*matrices, *rest):
                assert parameter.grad is not None
                parameter.grad.fill_(float("nan"))
        for group in optimiser.param_groups:
            group["lr"] = torch.tensor(1e-2) if tensor_rate else 1e-2
        optimiser.found_inf = torch.tensor(float(bad))
        optimiser.step()
    return [weight.detach() for weight in (*matrices, *rest)], [optimiser.state[m]["momentum"] for m in matrices]


def _assert_close(one: Kept, other: Kept, atol: float) -> None:
    for mine, theirs in zip([*one[0], *one[1]], [*other[0], *other[1]], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=atol, check_stride=False)


def test_in_channels_last_an_update_is_that_of_the_same_numbers_in_another_order() -> None:
    last = _after_two_steps(channels_last=True)
    _assert_close(last, _after_two_steps(), 1e-5)
    for tensor in (*last[0][:2], *last[1][:2]):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_rate_in_a_tensor_is_the_rate(channels_last: bool) -> None:
    rates = [_after_two_steps(channels_last=channels_last, tensor_rate=tensor) for tensor in (True, False)]
    _assert_close(rates[0], rates[1], 1e-6)


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_step_left_out_changes_nothing_with_a_rate_in_a_tensor_either(channels_last: bool) -> None:
    def after(bad_from: int) -> Kept:
        return _after_two_steps(channels_last=channels_last, tensor_rate=True, bad_from=bad_from)

    never = after(0)
    start = torch.Generator().manual_seed(0)
    assert torch.equal(never[0][0], torch.randn((8, 3, 3, 3), generator=start))
    assert not any(momentum.any() for momentum in never[1])
    good, then = after(2), after(1)
    assert all(tensor.isfinite().all() for tensor in (*then[0], *then[1]))
    assert not any(torch.equal(one, other) for one, other in zip(good[0], then[0], strict=True))


def test_together_matrices_are_made_orthogonal_as_each_stack_alone() -> None:
    shapes = [(2, 8, 72), (1, 8, 16), (3, 8, 8), (2, 72, 8), (1, 6, 8), (4, 16, 144), (1, 144, 16), (2, 1, 9)]
    drawn = torch.Generator().manual_seed(2)
    stacks = [torch.randn(shape, generator=drawn) for shape in shapes]
    for stack, found in zip(stacks, _together(stacks), strict=True):
        torch.testing.assert_close(found, orthogonal(stack), rtol=1e-4, atol=1e-5)
