"""Laws of the multilayer perceptron: shapes, what it starts from, what it may depend on, its export."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_core.errors import ParamsError
from ddpm_core.models.mlp_config import MLPConfig
from ddpm_core.spec import DataSpec, labelled

TINY: dict[str, Any] = {"kind": "mlp", "width": 16, "blocks": 2, "dropout": 0.0}
T = torch.tensor([1.0, 500.0, 1000.0])
LABELS = torch.tensor([0, 1, 3])


def spec_of(shape: tuple[int, ...] = (2,), classes: int = 3) -> DataSpec:
    return labelled(shape, None, None, tuple(str(i) for i in range(classes)))


def net(shape: tuple[int, ...] = (2,), classes: int = 3, learned_variance: bool = False, **changes: Any) -> nn.Module:
    """A tiny network with random weights everywhere, so that nothing hides behind a zero output."""
    torch.manual_seed(0)
    model = MLPConfig(**{**TINY, **changes}).build(spec_of(shape, classes), learned_variance)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def data(shape: tuple[int, ...] = (2,)) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(2,), (1,), (3, 4), (1, 2, 5)])
@pytest.mark.parametrize("learned", [False, True])
def test_the_output_has_the_shape_of_the_data_or_twice_its_channels(shape: tuple[int, ...], learned: bool) -> None:
    out = net(shape, learned_variance=learned)(data(shape), T, LABELS)
    assert tuple(out.shape) == (3, shape[0] * (2 if learned else 1), *shape[1:])


def test_the_number_of_parameters_is_that_of_its_layers() -> None:
    """Time 2, each block 3 and 1 norm, stem and out, 1 norm, a row a class and the null row."""
    w, linear, norm = 16, 16 * 16 + 16, 2 * 16
    wanted = 2 * linear + 2 * (3 * linear + norm) + (2 * w + w) + norm + (w * 2 + 2) + 4 * w
    assert sum(p.numel() for p in net().parameters()) == wanted


@pytest.mark.parametrize(
    ("key", "value"), [("width", 3), ("width", 2), ("width", 5), ("blocks", 0), ("dropout", 1.0), ("dropout", -0.1)]
)
def test_a_value_out_of_range_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=rf"{key}: must be .*, got {value}"):
        MLPConfig(**{**TINY, key: value})
