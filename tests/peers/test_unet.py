"""Our U-Net is diffusers' UNet2DModel of the same configuration: its size, and with its weights its answers."""

from dataclasses import replace

import pytest
import torch

from benchmarks.networks import CIFAR10_DDPM, NETWORKS, SMALL, diffusers_network, our_network
from tests.peers.peer import peer
from tests.peers.unet_weights import copy_weights

peer("diffusers")

CONFIGS = {
    "cifar10-ddpm": (CIFAR10_DDPM, (3, 32, 32), 0),
    "small": (SMALL, (1, 28, 28), 0),
    "small, scale and shift, classes": (replace(SMALL, scale_shift=True), (1, 28, 28), 10),
    "not square": (replace(SMALL, multipliers=(1, 2)), (3, 16, 24), 0),
}


def size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(("name", "expected"), [("big", 35_746_307), ("small", 1_623_169)])
def test_both_have_the_very_number_of_parameters(name: str, expected: int) -> None:
    with torch.device("meta"):
        assert size(our_network(*NETWORKS[name])) == size(diffusers_network(*NETWORKS[name])) == expected


@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.parametrize("training", [False, True])
def test_the_same_weights_give_the_same_answer(name: str, training: bool) -> None:
    config, shape, classes = CONFIGS[name]
    torch.manual_seed(0)
    theirs = diffusers_network(config, shape, classes).train(training)
    mine = our_network(config, shape, classes).train(training)
    copy_weights(mine, theirs)
    x, t = torch.randn(2, *shape), torch.tensor([1.0, 700.0])
    labels = torch.tensor([3, classes]) if classes else None
    with torch.no_grad():
        found = mine(x, t, labels) if classes else mine(x, t)
        expected = theirs(x, t, class_labels=labels).sample
    assert float(expected.abs().max()) > 0.1
    assert largest_difference(found, expected) <= 1e-5


def test_the_same_weights_give_the_same_gradient() -> None:
    config, shape = replace(SMALL, multipliers=(1, 2)), (1, 8, 8)
    torch.manual_seed(0)
    theirs, mine = diffusers_network(config, shape), our_network(config, shape)
    copy_weights(mine, theirs)
    x, t = torch.randn(2, *shape), torch.tensor([1.0, 700.0])
    (mine(x, t) ** 2).sum().backward()
    (theirs(x, t).sample ** 2).sum().backward()
    for ours, peers in ((mine.stem, theirs.conv_in), (mine.time[0], theirs.time_embedding.linear_1)):
        assert largest_difference(ours.weight.grad, peers.weight.grad) <= 1e-4


def test_the_published_network_halves_with_padding_on_one_side() -> None:
    # As TensorFlow's SAME does, and with a smaller eps; ours pads both sides. The same size, other answers.
    config, shape = replace(SMALL, multipliers=(1, 2)), (1, 16, 16)
    torch.manual_seed(0)
    published = diffusers_network(config, shape, downsample_padding=0, norm_eps=1e-6)
    mine = our_network(config, shape)
    copy_weights(mine, published)
    x, t = torch.randn(1, *shape), torch.tensor([10.0])
    with torch.no_grad():
        assert largest_difference(mine(x, t), published(x, t).sample) > 1e-3
