"""How the checks of gpu_acceptance.py compare tensors: bit by bit, by a digest, by their relative distance."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from ddpm_core.training.trainer import Trainer


def unequal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors that are not the same bits on both sides."""
    names = sorted(set(a) | set(b))
    return [name for name in names if name not in a or name not in b or not same_bits(a[name], b[name])]


def same_bits(a: Tensor, b: Tensor) -> bool:
    a, b = (side.detach().cpu().contiguous() for side in (a, b))
    return a.shape == b.shape and a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    """Copies of the weights and of their averages."""
    sides = {"model": trainer.model, "average": trainer.ema.model}
    return {
        f"{side}.{name}": tensor.detach().cpu().clone()
        for side, model in sides.items()
        for name, tensor in model.state_dict().items()
    }


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all tensors, by name."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def relative(found: Tensor, reference: Tensor) -> float:
    """|found - reference| / |reference|, both taken as one vector in float64."""
    a, b = (side.detach().double().cpu().flatten() for side in (found, reference))
    return float((a - b).norm() / b.norm())
