"""The in-domain classifier: a small convolutional network trained on the data's own labels, and on their attributes.

Its features see what matters in these very data, where features learned on photographs see little. It is trained from
a seed with a fixed number of steps, so the same data give the same weights at the same number of threads.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ddpm_core.spec import DataSpec, attribute_key
from pipelines.kinds.pictures.reference.config import ClassifierConfig
from pipelines.runtime.progress import tracked

FEATURES = 64
_LONGEST_SIDE = 32  # larger pictures are averaged down to this, so that the cost does not grow with their size


class Classifier(nn.Module):
    """uint8 pictures [B, C, H, W] to (features [B, 64], logits [B, classes])."""

    def __init__(self, spec: DataSpec, width: int) -> None:
        super().__init__()
        channels, *sides = spec.shape
        self.top = float(spec.top)
        self.reduce = math.ceil(max(sides) / _LONGEST_SIDE)
        self.stem = _block(channels, width, kernel=5, stride=2)
        self.body = nn.Sequential(
            _block(width, 2 * width), nn.MaxPool2d(2, ceil_mode=True), _block(2 * width, 2 * width),
            _block(2 * width, 4 * width),
        )  # fmt: skip
        self.features = nn.Linear(4 * width, FEATURES)
        self.head = nn.Linear(FEATURES, len(spec.classes))
        self.heads = nn.ModuleDict(
            {attribute_key(name): nn.Linear(FEATURES, len(of.classes)) for name, of in spec.attributes.items()}
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.classify(self.scale(images))

    def scale(self, images: Tensor) -> Tensor:
        """Levels to [-1, 1], large pictures averaged down."""
        x = images.float() * (2.0 / self.top) - 1.0
        return F.avg_pool2d(x, self.reduce, ceil_mode=True) if self.reduce > 1 else x

    def classify(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.body(self.stem(x)).mean(dim=(2, 3))
        features = F.silu(self.features(pooled))
        return features, self.head(features)

    def attribute(self, name: str, features: Tensor) -> Tensor:
        """The logits of an attribute's classes by features [B, 64]."""
        logits: Tensor = self.heads[attribute_key(name)](features)
        return logits


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def folded(model: Classifier) -> Classifier:
    """The same function of pictures, but for round-off, with each normalisation in the convolution before it."""
    for block in model.eval().modules():
        if not isinstance(block, nn.Sequential):
            continue
        conv, norm = block[0], block[1]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block[0], block[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return model


def train_classifier(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    spec: DataSpec,
    config: ClassifierConfig,
    device: torch.device,
    attributes: Mapping[str, NDArray[np.int64]] | None = None,
) -> Classifier:
    """Train on labelled pictures; small turns, shifts and zooms stand in for more of them.

    What is not known of a picture's attributes, -1, teaches nothing.
    """
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Classifier(spec, config.width)
    model = model.to(device).to(memory_format=torch.channels_last).train()  # a third faster on a CPU
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.steps)
    pictures, targets = torch.from_numpy(images), torch.from_numpy(labels)
    told = {name: torch.from_numpy(values) for name, values in (attributes or {}).items()}
    order = torch.empty(0, dtype=torch.int64)
    for _ in tracked(range(config.steps), "classifier", "steps", total=config.steps, leave=False):
        while len(order) < config.batch_size:
            order = torch.cat([order, torch.randperm(len(pictures), generator=generator)])
        batch, order = order[: config.batch_size], order[config.batch_size :]
        x = _deformed(model.scale(pictures[batch].to(device)), generator)
        features, logits = model.classify(x)
        loss = F.cross_entropy(logits, targets[batch].to(device), label_smoothing=0.1)
        for name, values in told.items():
            loss = loss + _attribute_loss(model.attribute(name, features), values[batch].to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return model.eval().requires_grad_(False)


def _attribute_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean over the pictures of which the attribute is known; 0 where it is known of none."""
    total = F.cross_entropy(logits, targets, ignore_index=-1, label_smoothing=0.1, reduction="sum")
    return total / (targets >= 0).sum().clamp(min=1)


def _deformed(x: Tensor, generator: torch.Generator) -> Tensor:
    """Turn (10 degrees), zoom and shift (a tenth), and bend each picture a little, all at random."""
    n = len(x)
    turn, zoom, across, down = (torch.rand(4, n, generator=generator) * 2.0 - 1.0).unbind()
    angle, scale = turn * math.radians(10.0), 1.0 + 0.1 * zoom
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    maps = torch.stack([cos, -sin, 0.2 * across, sin, cos, 0.2 * down], dim=1).reshape(n, 2, 3).to(x.device)
    bend = (torch.rand(n, 2, 5, 5, generator=generator) * 0.14 - 0.07).to(x.device)
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    grid = grid + F.interpolate(bend, size=x.shape[2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
