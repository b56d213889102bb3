"""What the distances are measured in: feature extractors, which of them a data set gets, and torch-fidelity's scores.

Only features from the Inception network of 2015-12-05, known by the SHA-256 of its file, are called `fid` and `is`.
By default features come from a classifier trained on the data's own labels (`fcd`, `cis`). Where there are no labels,
one class, or the classifier is below its stated accuracy, they come from EfficientNet-Lite0 with ImageNet weights
(`fd_efficientnet_lite0`). Random features are never used: they do not see lost classes.
"""

import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ddpm_core.checks import Checks, at_least_1, fraction, not_negative, positive, run_checks
from ddpm_core.errors import DataError, IntegrityError, ParamsError, Unreachable
from ddpm_core.files import sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.tools.extractor_files import INCEPTION_SHA256, ExtractorFile, read_weights_file

if TYPE_CHECKING:
    import torch

    from pipelines.tools.classifier import Classifier

    Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

log = logging.getLogger(__name__)

CLASSIFIER_NAME, INCEPTION_NAME = "classifier.safetensors", "inception.pth"


@dataclass(frozen=True)
class ClassifierConfig:
    """How the in-domain classifier is trained, and the accuracy on unseen images below which it is not used."""

    seed: int
    steps: int
    batch_size: int
    learning_rate: float
    width: int
    min_accuracy: float

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}
    __checks__: ClassVar[Checks] = {
        "seed": not_negative,
        "steps": at_least_1,
        "batch_size": (lambda v: v >= 2, "at least 2"),
        "learning_rate": positive,
        "width": at_least_1,
        "min_accuracy": fraction,
    }

    def __post_init__(self) -> None:
        run_checks(self)


@dataclass(frozen=True)
class ReferenceConfig:
    """Which extractors there are and how much of the training set's features is kept."""

    extractors: tuple[ExtractorFile, ...]
    efficientnet_side: int
    batch_size: int
    features_kept: int
    classifier: ClassifierConfig

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}
    __checks__: ClassVar[Checks] = {
        "extractors": (lambda v: len({each.kind for each in v}) == len(v), "a list with each kind at most once"),
        "efficientnet_side": (lambda v: v >= 32, "at least 32 pixels"),
        "batch_size": at_least_1,
        "features_kept": (lambda v: v >= 2, "at least 2"),
    }

    def __post_init__(self) -> None:
        run_checks(self)


@dataclass(frozen=True)
class Names:
    """What an extractor's Fréchet distance, kernel distance and score are called."""

    distance: str
    kernel: str
    score: str


NAMES = {
    "inception": Names("fid", "kid", "is"),
    "classifier": Names("fcd", "kcd", "cis"),
    "efficientnet_lite0": Names("fd_efficientnet_lite0", "kd_efficientnet_lite0", "score_efficientnet_lite0"),
}


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network that turns uint8 pictures into (features, logits), and what identifies it."""

    name: str
    digest: str
    preprocess: str
    network: "Network"

    @property
    def names(self) -> Names:
        return NAMES[self.name]

    def identity(self) -> dict[str, str]:
        """What two measurements must have in common to be compared."""
        return {"name": self.name, "sha256": self.digest, "preprocess": self.preprocess}


@dataclass(frozen=True, eq=False)
class Features:
    """What an extractor made of some pictures, both float32: features [n, D] and logits [n, K]."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]


def extract(
    extractor: Extractor, images: NDArray[np.uint8], batch_size: int, device: "torch.device", what: str
) -> Features:
    """Run the extractor over pictures, [n, C, H, W]."""
    import torch
    from tqdm import tqdm

    rows, scores = [], []
    with torch.inference_mode():
        for start in tqdm(
            range(0, len(images), batch_size), desc=f"{extractor.name}: {what}", unit="batch", disable=None, leave=False
        ):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size])).to(device)
            features, logits = extractor.network(batch)
            rows.append(features.float().cpu().numpy())
            scores.append(logits.float().cpu().numpy())
    return Features(np.concatenate(rows), np.concatenate(scores))


# ---- the three extractors


def classifier_extractor(weights: bytes, spec: DataSpec, device: "torch.device") -> Extractor:
    """The in-domain classifier from the bytes of its file."""
    from safetensors.torch import load

    from pipelines.tools.classifier import Classifier

    width = int(json.loads(_metadata(weights))["width"])
    model = Classifier(spec, width)
    model.load_state_dict(load(weights))
    preprocess = f"levels to [-1, 1], averaged down by {model.reduce}"
    return Extractor("classifier", sha256_bytes(weights), preprocess, _ready(model, device))


def classifier_bytes(model: "Classifier", config: ClassifierConfig) -> bytes:
    """The file of a trained classifier; one metadata key, so that its bytes repeat."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, metadata={"ddpm": json.dumps({"width": config.width}, sort_keys=True)})


def _metadata(weights: bytes) -> str:
    length = int.from_bytes(weights[:8], "little")
    return str(json.loads(weights[8 : 8 + length])["__metadata__"]["ddpm"])


def read_extractor(listed: ExtractorFile, root: Path) -> bytes:
    """The weights of a listed extractor; only one file may give a score named fid."""
    if listed.sha256 != INCEPTION_SHA256:
        raise ParamsError(
            f"reference.extractors: sha256 of inception must be {INCEPTION_SHA256}, got {listed.sha256}; only that "
            "file may give a score named fid"
        )
    return read_weights_file(listed, root, _downloaded)


def _downloaded() -> bytes:
    """From where torch-fidelity takes it, kept in the cache of torch.hub."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    url = str(URL_INCEPTION_V3)
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(place), INCEPTION_SHA256)
    except (OSError, RuntimeError) as error:
        raise Unreachable(
            f"reference.extractors: the weights of inception must be to be had from {url}, but {error}; "
            "get the file by other means and give its path"
        ) from error
    return place.read_bytes()


def inception_extractor(weights: bytes, device: "torch.device") -> Extractor:
    """The Inception network of FID, from the bytes that `read_extractor` gave."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

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
    ready = _ready(model, device)

    def network(images: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
        features, logits = ready(in_colour(images))
        return features, logits

    return Extractor("inception", digest, "TF1 bilinear to 299, (x - 128) / 128", network)


def efficientnet_extractor(side: int, device: "torch.device") -> Extractor:
    """EfficientNet-Lite0 with the ImageNet weights that its package carries."""
    from pipelines.tools.efficientnet import load_efficientnet

    network, digest, preprocess = load_efficientnet(side, device)
    return Extractor("efficientnet_lite0", digest, preprocess, lambda images: network(in_colour(images)))


def in_colour(images: "torch.Tensor") -> "torch.Tensor":
    """Pictures of one channel as three equal ones; those of three as they are."""
    channels = images.shape[1]
    if channels not in (1, 3):
        raise DataError(
            f"a network trained on photographs takes pictures of 1 or 3 channels, got {channels}; convert the source, "
            "or give labels, so that a classifier of these data can be trained"
        )
    return images.expand(-1, 3, -1, -1) if channels == 1 else images


def _ready(model: Any, device: "torch.device") -> Any:
    return model.to(device).eval().requires_grad_(False)


def open_extractors(
    files: Mapping[str, bytes], classifier_used: bool, side: int, spec: DataSpec, device: "torch.device"
) -> list[Extractor]:
    """Inception where its file is among these; and the classifier where it is good enough, else EfficientNet-Lite0."""
    extractors = []
    if INCEPTION_NAME in files:
        extractors.append(inception_extractor(files[INCEPTION_NAME], device))
    if classifier_used:
        extractors.append(classifier_extractor(files[CLASSIFIER_NAME], spec, device))
    else:
        extractors.append(efficientnet_extractor(side, device))
    return extractors


# ---- scores of torch-fidelity


def kernel_distance(
    a: NDArray[np.float32], b: NDArray[np.float32], subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """KID, mean and standard deviation over subsets: torch-fidelity's, cubic kernel, unbiased."""
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    sides = (torch.from_numpy(side.astype(np.float64)) for side in (a, b))
    result = kid_features_to_metric(
        *sides, kid_subsets=subsets, kid_subset_size=subset_size, rng_seed=seed, verbose=False
    )
    return float(result[KEY_METRIC_KID_MEAN]), float(result[KEY_METRIC_KID_STD])


def inception_score(logits: NDArray[np.float32], splits: int, seed: int) -> tuple[float, float]:
    """The Inception Score, mean and standard deviation over splits: torch-fidelity's."""
    import torch
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    result = isc_features_to_metric(torch.from_numpy(logits), splits=splits, shuffle=True, rng_seed=seed)
    return float(result[KEY_METRIC_ISC_MEAN]), float(result[KEY_METRIC_ISC_STD])


def versions() -> dict[str, str]:
    """The libraries whose versions a measurement depends on."""
    from importlib.metadata import version

    return {name: version(name).split("+")[0] for name in ("numpy", "torch", "torch-fidelity")}
