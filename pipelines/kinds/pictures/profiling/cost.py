"""What it takes here to measure pictures: EfficientNet-Lite0 and the classifier are timed."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from ddpm_core.spec import DataSpec
from pipelines.kinds.choice import MeasuringSeconds, Timed
from pipelines.kinds.pictures.reference.classifier import train_classifier
from pipelines.kinds.pictures.reference.efficientnet import load_efficientnet
from pipelines.shards.archive import Arrays


def measuring_seconds(
    reference: Any, spec: DataSpec, arrays: Arrays, device: torch.device, timed: Timed
) -> MeasuringSeconds:
    network, _, _ = load_efficientnet(reference.efficientnet_side, device)
    images = torch.from_numpy(np.resize(arrays["x"], (32, *spec.shape)))
    images = images if spec.shape[0] == 3 else images[:, :1].expand(-1, 3, -1, -1)
    looked = timed(lambda: network(images.to(device)), 3) / len(images)
    if not spec.classes:
        return MeasuringSeconds(looked, 0.0)
    labels = np.arange(len(arrays["x"]), dtype=np.int64) % len(spec.classes)
    config = replace(reference.classifier, steps=3)
    train = partial(train_classifier, arrays["x"], labels, spec, config, device)
    return MeasuringSeconds(looked, timed(train, 3) / 3)
