"""What torch-fidelity gives: the Inception network of FID, and its kernel distance and Inception Score."""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from ddpm_core.errors import IntegrityError
from ddpm_core.files import sha256_bytes
from pipelines.kinds.pictures.reference.extractor import Extractor, in_colour, ready
from pipelines.kinds.pictures.reference.weights_files import INCEPTION_SHA256

INCEPTION_ADDRESS = str(URL_INCEPTION_V3)


def inception_extractor(weights: bytes, device: torch.device) -> Extractor:
    """The Inception network of FID, from the bytes that `read_extractor` gave."""
    digest = sha256_bytes(weights)
    if digest != INCEPTION_SHA256:
        raise IntegrityError(f"only weights of SHA-256 {INCEPTION_SHA256} may give a score named fid, got {digest}")
    # torch-fidelity would unpickle anything: hand it tensors alone, read under weights_only.
    tensors = io.BytesIO()
    torch.save(torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True), tensors)
    tensors.seek(0)
    model = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
    )
    inception = ready(model, device)

    def network(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = inception(in_colour(images))
        return features, logits

    return Extractor("inception", digest, "TF1 bilinear to 299, (x - 128) / 128", network, at_once=16)


def kernel_distance(
    a: NDArray[np.float32], b: NDArray[np.float32], subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """KID, mean and standard deviation over subsets: torch-fidelity's, cubic kernel, unbiased."""
    sides = (torch.from_numpy(side.astype(np.float64)) for side in (a, b))
    result = kid_features_to_metric(
        *sides, kid_subsets=subsets, kid_subset_size=subset_size, rng_seed=seed, verbose=False
    )
    return float(result[KEY_METRIC_KID_MEAN]), float(result[KEY_METRIC_KID_STD])


def inception_score(logits: NDArray[np.float32], splits: int, seed: int) -> tuple[float, float]:
    """The Inception Score, mean and standard deviation over splits: torch-fidelity's."""
    result = isc_features_to_metric(torch.from_numpy(logits), splits=splits, shuffle=True, rng_seed=seed)
    return float(result[KEY_METRIC_ISC_MEAN]), float(result[KEY_METRIC_ISC_STD])
