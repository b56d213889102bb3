"""A network from outside: one file with its configuration, which imports torch where it is built."""

from dataclasses import dataclass
from typing import Any, Literal

from ddpm_core.models import NetworkConfig
from ddpm_core.spec import DataSpec


@dataclass(frozen=True)
class PixelwiseConfig(NetworkConfig):
    """Every pixel by itself."""

    kind: Literal["pixelwise"]
    width: int

    def build(self, spec: DataSpec, learned_variance: bool) -> Any:
        import torch
        from torch import nn

        class Pixelwise(nn.Module):
            def __init__(self, width: int) -> None:
                super().__init__()
                out = spec.channels * (2 if learned_variance else 1)
                self.label = nn.Embedding(len(spec.classes) + 1, width) if spec.classes else None
                self.first, self.last = nn.Conv2d(spec.channels + 1, width, 1), nn.Conv2d(width, out, 1)

            def forward(self, x: torch.Tensor, t: torch.Tensor, label: Any = None) -> torch.Tensor:
                time = (t / 50).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
                h = self.first(torch.cat([x, time], 1))
                if self.label is not None:
                    h = h + self.label(label)[:, :, None, None]
                y: torch.Tensor = self.last(nn.functional.silu(h))
                return y

        return Pixelwise(self.width)
