"""The transformer: its parameters, its patches and positions, what a block does before training, what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models import layers
from ddpm_core.models.layers import attended
from ddpm_core.models.transformer_config import TransformerConfig
from ddpm_core.spec import labelled

TINY: dict[str, Any] = {
    "kind": "transformer",
    "patch": 2,
    "width": 16,
    "depth": 2,
    "heads": 4,
    "expansion": 2,
    "dropout": 0.0,
    "refine": 0,
}
T, LABELS = torch.tensor([500.0]), torch.tensor([1])


def fresh(shape: tuple[int, ...] = (1, 4, 6), learned: bool = False, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    spec = labelled(shape, (-1.0, 1.0), 256, ("a", "b", "c"))
    return TransformerConfig(**{**TINY, **changes}).build(spec, learned).eval()


def data(shape: tuple[int, ...] = (1, 4, 6)) -> Tensor:
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))


def answering(net: nn.Module) -> nn.Module:
    """With a random last layer, else as it begins."""
    nn.init.normal_(net.out.weight)
    return net


def random(net: nn.Module) -> nn.Module:
    """With random weights everywhere."""
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


def in_patches(x: Tensor, patch: int) -> Tensor:
    """[B, C, H, W] -> [B, N, C, patch, patch], row by row."""
    return torch.stack(
        [
            x[:, :, i : i + patch, j : j + patch]
            for i in range(0, x.shape[2], patch)
            for j in range(0, x.shape[3], patch)
        ],
        1,
    )


def of_patches(patches: Tensor, columns: int) -> Tensor:
    """The inverse."""
    return torch.cat([torch.cat(list(row.unbind(1)), 3) for row in patches.split(columns, 1)], 2)


def test_the_number_of_parameters_is_that_of_its_layers() -> None:
    """Time, stem, a row a class and the null row; a block: modulation 6, qkv 3, out 1, 2 of the expansion; the out."""
    w, pixels = 16, 3 * 2**2
    block = (6 + 3 + 1 + 2 * 2) * w * w + (6 + 3 + 1 + 2 + 1) * w
    end = 2 * w * w + 2 * w + 2 * pixels * (w + 1)
    wanted = 2 * (w * w + w) + w * (pixels + 1) + 4 * w + 2 * block + end
    assert sum(p.numel() for p in fresh((3, 4, 6), learned=True).parameters()) == wanted


@pytest.mark.parametrize(("shape", "patch"), [((1, 6, 10), 2), ((3, 9, 3), 3), ((2, 3, 5), 1), ((5, 4, 4), 4)])
@pytest.mark.parametrize("learned", [False, True])
def test_pictures_of_any_size_that_the_patch_divides(shape: tuple[int, ...], patch: int, learned: bool) -> None:
    out = answering(fresh(shape, learned, patch=patch))(data(shape), T, LABELS)
    assert tuple(out.shape) == (1, shape[0] * (2 if learned else 1), *shape[1:])


def test_a_new_block_is_the_identity_so_that_a_patch_sees_itself_alone() -> None:
    net, x = answering(fresh()), data().requires_grad_()
    owner = torch.arange(2).repeat_interleave(2)[:, None] * 3 + torch.arange(3).repeat_interleave(2)
    for place, number in zip(owner.flatten(), net(x, T, LABELS).flatten(), strict=True):
        (gradient,) = torch.autograd.grad(number, x, retain_graph=True)
        assert torch.equal(gradient[0, 0] != 0, owner == place)


def test_a_new_block_takes_part_after_one_step() -> None:
    net, x = answering(fresh()), data()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        net(x, T, LABELS).square().sum().backward()
        optimiser.step()
    assert all(parameter.grad.any() for parameter in net.blocks.parameters())


def test_without_positions_patches_that_change_places_change_their_answers_places() -> None:
    net, x, order = random(fresh()), data(), torch.tensor([4, 0, 3, 5, 1, 2])
    moved = of_patches(in_patches(x, 2)[:, order], columns=3)

    def differs() -> bool:
        expected = of_patches(in_patches(net(x, T, LABELS), 2)[:, order], columns=3)
        return not torch.allclose(net(moved, T, LABELS), expected, rtol=1e-4, atol=1e-4)

    assert differs()
    net.positions.zero_()
    assert not differs()


def test_a_position_is_sines_and_cosines_of_its_row_and_of_its_column() -> None:
    positions = fresh((1, 4, 6)).positions
    assert tuple(positions.shape) == (6, 16)
    frequencies = 10000.0 ** (-torch.arange(4) / 3)
    for place in range(6):
        angles = [number * frequencies for number in (place // 3, place % 3)]
        expected = torch.cat([part for each in angles for part in (each.sin(), each.cos())])
        torch.testing.assert_close(positions[place], expected, atol=1e-5, rtol=0)


def test_positions_are_no_weights() -> None:
    assert "positions" not in fresh().state_dict()


def test_with_the_branch_at_full_size_pixels_meet_across_patches_before_training() -> None:
    """The last convolution sees the pixels beside one, and of their patches, which see those beside them."""
    net, x = fresh((1, 16, 16), refine=4), data((1, 16, 16)).requires_grad_()
    nn.init.normal_(net.refine.out.weight)
    net.refine.norm = nn.Identity()  # its means are of the whole picture
    (gradient,) = torch.autograd.grad(net(x, T, LABELS)[0, 0, 5, 5], x)
    seen = {(int(row) // 2, int(column) // 2) for row, column in (gradient[0, 0] != 0).nonzero()}
    assert seen == {(row, column) for row in range(1, 5) for column in range(1, 5)}


def test_a_branch_changes_no_other_initial_weight_and_takes_the_place_of_the_last_layer() -> None:
    plain, refined = (dict(fresh(refine=refine).named_parameters()) for refine in (0, 8))
    assert {name.split(".")[0] for name in plain.keys() ^ refined.keys()} == {"out", "refine"}
    shared = plain.keys() & refined.keys()
    assert all(torch.equal(plain[name], refined[name]) for name in shared)


def test_a_network_kept_before_there_was_refine_has_none() -> None:
    kept = {key: value for key, value in TINY.items() if key != "refine"}
    assert TransformerConfig(**TransformerConfig.read(kept)) == TransformerConfig(**TINY)
    assert TransformerConfig(**TransformerConfig.read({**TINY, "refine": 16})).refine == 16


@pytest.mark.parametrize("most", [0, 5])
def test_attention_is_the_formula(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(layers, "FEW", most)  # rows in products of our own
    rows = torch.randn(2, 5, 3 * 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    q, k, v = rows.view(2, 5, 3, 2, 4).unbind(2)
    weights = torch.softmax(torch.einsum("bnhd,bmhd->bhnm", q, k) / 2.0, dim=-1)
    expected = torch.einsum("bhnm,bmhd->bnhd", weights, v).flatten(2)
    torch.testing.assert_close(attended(rows, 2), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 0}, "patch: .*, got 0"),
        ({"width": 6}, "width: must be a multiple of 4, got 6"),
        ({"width": 0}, "width: must be a multiple of 4, got 0"),
        ({"depth": 0}, "depth: .*, got 0"),
        ({"heads": 0}, "heads: .*, got 0"),
        ({"heads": 3}, "heads: must divide width, got heads=3, width=16"),
        ({"expansion": 0}, "expansion: .*, got 0"),
        ({"dropout": 1.0}, "dropout: .*, got 1.0"),
        ({"refine": -1}, "refine: must be 0 or more, got -1"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        TransformerConfig(**{**TINY, **changes})


@pytest.mark.parametrize(("shape", "allowed"), [((1, 6, 8), "1, 2"), ((1, 8, 6), "1, 2"), ((3, 7, 7), "1, 7")])
def test_a_size_that_the_patch_does_not_divide_is_refused_with_those_that_do(
    shape: tuple[int, ...], allowed: str
) -> None:
    with pytest.raises(ParamsError, match=rf"model\.patch: .*{shape[1]} x {shape[2]}, got 4; allowed: {allowed}$"):
        fresh(shape, patch=4)


@pytest.mark.parametrize("shape", [(8,), (1, 8), (1, 8, 8, 8)])
def test_data_that_are_no_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"model\.kind: transformer .*got \("):
        fresh(shape)
