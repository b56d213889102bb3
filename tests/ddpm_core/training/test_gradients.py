"""The gradients of all processes are added up in one buffer, in an order that is the same at every step."""

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.errors import DdpmError
from ddpm_core.training.distributed import Alone
from ddpm_core.training.gradients import Gradients


class Doubling(Alone):
    """Two processes with the same gradients."""

    count = 2

    def __init__(self) -> None:
        self.exchanged: list[Tensor] = []

    def add_up(self, value: Tensor) -> None:
        self.exchanged.append(value)
        value.mul_(2)


def network() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 1, bias=False), nn.Linear(7, 1))
    return net.to(memory_format=torch.channels_last)


def backward(net: nn.Module) -> dict[str, Tensor]:
    """Give every parameter a gradient; a copy of them."""
    torch.manual_seed(1)
    for weight in net.parameters():
        weight.grad = torch.randn(weight.shape).to(weight)
    return {name: weight.grad.clone() for name, weight in net.named_parameters() if weight.grad is not None}


def test_every_gradient_is_the_sum_in_the_storage_order_of_its_parameter() -> None:
    net, processes = network(), Doubling()
    gradients = Gradients(net, processes)
    for _ in range(2):
        mine = backward(net)
        gradients.add_up()
        for name, weight in net.named_parameters():
            assert weight.grad is not None
            assert torch.equal(weight.grad, 2 * mine[name])
            assert weight.grad.stride() == weight.stride()


def test_there_is_one_exchange_a_step_of_one_buffer_that_is_kept() -> None:
    net, processes = network(), Doubling()
    gradients = Gradients(net, processes)
    for _ in range(3):
        backward(net)
        gradients.add_up()
    assert len({value.data_ptr() for value in processes.exchanged}) == 1
    assert len(processes.exchanged) == 3
    assert processes.exchanged[0].is_contiguous()
    starts = [weight.grad.data_ptr() for weight in net.parameters() if weight.grad is not None]
    assert starts == sorted(starts)


def test_an_optimiser_takes_them() -> None:
    net = network()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.1, fused=True)
    gradients, before = Gradients(net, Doubling()), [weight.clone() for weight in net.parameters()]
    backward(net)
    gradients.add_up()
    optimiser.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_a_parameter_without_a_gradient_is_refused_by_name_unless_it_is_not_trained() -> None:
    net, processes = network(), Doubling()
    gradients = Gradients(net, processes)
    backward(net)
    net[2].weight.grad = None  # type: ignore[index]
    with pytest.raises(DdpmError, match=r"every parameter must have a gradient, but 2\.weight got none"):
        gradients.add_up()
    assert processes.exchanged == []
    net[2].weight.requires_grad_(False)  # type: ignore[index]
    Gradients(net, processes).add_up()


def test_parameters_of_several_types_are_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(DdpmError, match=r"of one type on one device, .* torch.float32 on cpu, torch.float64 on cpu"):
        Gradients(net, Doubling())
