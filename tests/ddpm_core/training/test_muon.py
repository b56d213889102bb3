"""Muon: the update of a matrix is (about) orthogonal, and nothing else about a step changes."""

import pytest
import torch
from torch import nn

from ddpm_core.training.muon import Muon, matrices_and_rest, orthogonal


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(8, 5), nn.Embedding(4, 2))


def _muon(network: nn.Module) -> Muon:
    matrices, rest = matrices_and_rest(network)
    return Muon(matrices, rest, scale=10.0, momentum=0.95, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)


def _give_gradients(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (24, 72), (1, 9)])
def test_orthogonal_sends_all_singular_values_near_one_and_keeps_the_singular_vectors(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    update = orthogonal(matrix)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    core = u.T @ update @ v.T
    assert torch.allclose(core, torch.diag(core.diagonal()), atol=1e-9)
    assert core.diagonal().min() > 0.3
    assert core.diagonal().max() < 1.3


def test_five_rounds_raise_a_direction_three_hundred_times_weaker_to_the_same_rate() -> None:
    weak = orthogonal(torch.diag(torch.tensor([1.0, 0.003], dtype=torch.float64)))
    assert torch.equal(weak, torch.diag(weak.diagonal()))
    assert 0.6 < float(weak.diagonal().min()) < float(weak.diagonal().max()) < 1.3


@pytest.mark.parametrize("shape", [(8, 8), (8, 12), (8, 16), (8, 72), (72, 8)])
def test_many_matrices_at_once_and_long_rows_by_their_products_give_the_rounds_of_the_formula(
    shape: tuple[int, int],
) -> None:
    matrices = torch.randn((3, *shape), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for matrix, update in zip(matrices, orthogonal(matrices), strict=True):
        x = matrix / matrix.norm()
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * (x @ x.T) @ x + 2.0315 * (x @ x.T) @ (x @ x.T) @ x
        torch.testing.assert_close(update, x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(16, 144), (16, 16)])
def test_float32_is_enough_for_directions_of_all_strengths(shape: tuple[int, int]) -> None:
    u, _, v = torch.linalg.svd(
        torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64), full_matrices=False
    )
    matrix = u @ torch.diag(torch.logspace(0, -8, len(u), dtype=torch.float64)) @ v
    exact = orthogonal(matrix)
    assert float((orthogonal(matrix.float()) - exact).norm() / exact.norm()) < 2e-3


def test_orthogonal_of_a_zero_gradient_is_zero() -> None:
    assert torch.equal(orthogonal(torch.zeros(4, 6)), torch.zeros(4, 6))


def test_every_weight_is_trained_once_and_embeddings_are_no_matrices() -> None:
    network = _network()
    matrices, rest = matrices_and_rest(network)
    assert [tuple(p.shape) for p in matrices] == [(8, 3, 3, 3), (5, 8)]
    assert {id(p) for p in (*matrices, *rest)} == {id(p) for p in network.parameters()}
    assert len(matrices) + len(rest) == len(list(network.parameters()))


def test_scaling_a_gradient_does_not_change_a_matrix_update() -> None:
    ends = []
    for factor in (1.0, 1000.0):
        network = _network()
        optimiser = _muon(network)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3
        _give_gradients(network, 3)
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(factor)
        optimiser.step()
        ends.append(network[0].weight.detach().clone())
    assert torch.allclose(ends[0], ends[1], atol=1e-6)


def test_a_step_that_is_to_be_left_out_changes_no_weight_and_no_momentum() -> None:
    network = _network()
    optimiser = _muon(network)
    for group in optimiser.param_groups:
        group["lr"] = 1e-3
    _give_gradients(network, 4)
    optimiser.step()
    before = [p.detach().clone() for p in network.parameters()]
    momentum = [optimiser.state[p]["momentum"].clone() for p in optimiser.param_groups[0]["params"]]
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimiser.found_inf = torch.tensor(1.0)
    optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    after = [optimiser.state[p]["momentum"] for p in optimiser.param_groups[0]["params"]]
    assert all(torch.equal(a, b) for a, b in zip(momentum, after, strict=True))


def test_a_restored_state_goes_on_to_the_same_bits() -> None:
    def train(steps: list[int], network: nn.Module, optimiser: Muon) -> None:
        for step in steps:
            for group in optimiser.param_groups:
                group["lr"] = 1e-3
            _give_gradients(network, step)
            optimiser.step()

    whole, cut = _network(), _network()
    train([1, 2, 3, 4], whole, _muon(whole))
    first = _muon(cut)
    train([1, 2], cut, first)
    second = _muon(cut)
    second.load_state_dict(first.state_dict())
    train([3, 4], cut, second)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), cut.parameters(), strict=True))
