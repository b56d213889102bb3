"""What the distances are measured in: feature extractors, and which of them a data set gets.

Only features from the Inception network of 2015-12-05, known by the SHA-256 of its file, are called `fid` and `is`.
By default distances are taken in a classifier trained on the data's own labels (`fcd`, `cis`). Where there are no
labels, one class, or the classifier is below its stated accuracy, they are taken in EfficientNet-Lite0 with ImageNet
weights (`fd_efficientnet_lite0`). DINOv2 is used besides where it is listed (`fd_dinov2`). Random features are never
used: they do not see lost classes.

The gate judges in the classifier and in EfficientNet-Lite0, where there are both: each is blind to faults that the
other sees. Beside a classifier EfficientNet is a judge alone: no Fréchet distance is taken in it.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, ParamsError, Unreachable
from ddpm_core.files import sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.progress import tracked
from pipelines.tools.extractor_files import INCEPTION_SHA256, ExtractorFile, dinov2_address, read_weights_file
from pipelines.tools.reference_config import ClassifierConfig

if TYPE_CHECKING:
    import torch

    from pipelines.tools.classifier import Classifier

    Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

log = logging.getLogger(__name__)

CLASSIFIER_NAME, INCEPTION_NAME, DINOV2_NAME = "classifier.safetensors", "inception.pth", "dinov2.pth"

_COLOURS = (1, 3)  # channels that a network trained on photographs takes
DTYPE = "float32"  # what all of them compute in (benchmarks/feature_speed.py counts what bfloat16 would change)


class Names(NamedTuple):
    """What an extractor's Fréchet distance, kernel distance and score are called; no score where it has no logits."""

    distance: str
    kernel: str
    score: str | None


NAMES = {
    "inception": Names("fid", "kid", "is"),
    "classifier": Names("fcd", "kcd", "cis"),
    "efficientnet_lite0": Names("fd_efficientnet_lite0", "kd_efficientnet_lite0", "score_efficientnet_lite0"),
    "dinov2": Names("fd_dinov2", "kd_dinov2", None),
}
JUDGES = ("classifier", "efficientnet_lite0")


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network that turns uint8 pictures into (features, logits), and what identifies it.

    Of more pictures than `at_once` the activations leave a CPU's cache, and each takes up to twice as long.
    """

    name: str
    digest: str
    preprocess: str
    network: "Network"
    at_once: int
    judge_alone: bool = False  # gives the gate's measures, but no distance or score of its own

    @property
    def judges(self) -> bool:
        """Whether the gate has rules in these features."""
        return self.name in JUDGES

    @property
    def names(self) -> Names:
        return NAMES[self.name]

    @property
    def distance(self) -> str | None:
        """The Fréchet distance taken in these features, if one is."""
        return None if self.judge_alone else self.names.distance

    def identity(self) -> dict[str, str]:
        """What two measurements must have in common to be compared."""
        return {"name": self.name, "sha256": self.digest, "preprocess": self.preprocess, "dtype": DTYPE}


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

    size = min(batch_size, extractor.at_once) if device.type == "cpu" else batch_size
    starts = range(0, len(images), size)
    rows, scores = [], []
    with torch.inference_mode():
        for start in tracked(starts, f"{extractor.name}: {what}", "batches", total=len(starts), leave=False):
            batch = torch.from_numpy(np.array(images[start : start + size])).to(device)
            features, logits = extractor.network(batch)
            rows.append(features.float().cpu().numpy())
            scores.append(logits.float().cpu().numpy())
    return Features(np.concatenate(rows), np.concatenate(scores))


# ---- the extractors


def read_classifier(weights: bytes, spec: DataSpec) -> "Classifier":
    """The in-domain classifier from the bytes of its file, as it was trained."""
    from safetensors.torch import load

    from pipelines.tools.classifier import Classifier

    model = Classifier(spec, width=int(json.loads(_metadata(weights))["width"]))
    model.load_state_dict(load(weights))
    return model.eval()


def classifier_extractor(weights: bytes, spec: DataSpec, device: "torch.device") -> Extractor:
    """The in-domain classifier to look through."""
    from pipelines.tools.classifier import folded

    model = read_classifier(weights, spec)
    preprocess = f"levels to [-1, 1], averaged down by {model.reduce}"
    return Extractor("classifier", sha256_bytes(weights), preprocess, ready(folded(model), device), at_once=64)


def classifier_bytes(model: "Classifier", config: ClassifierConfig) -> bytes:
    """The file of a trained classifier; one metadata key, so that its bytes repeat."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, metadata={"ddpm": json.dumps({"width": config.width}, sort_keys=True)})


def _metadata(weights: bytes) -> str:
    length = int.from_bytes(weights[:8], "little")
    return str(json.loads(weights[8 : 8 + length])["__metadata__"]["ddpm"])


def read_extractor(listed: ExtractorFile, root: Path) -> tuple[str, bytes]:
    """The name that the weights of a listed extractor have in a reference, and they; one file alone may give `fid`."""
    if listed.family == "inception" and listed.sha256 != INCEPTION_SHA256:
        raise ParamsError(
            f"reference.extractors: sha256 of inception must be {INCEPTION_SHA256}, got {listed.sha256}; only that "
            "file may give a score named fid"
        )
    name = INCEPTION_NAME if listed.family == "inception" else DINOV2_NAME
    return name, read_weights_file(listed, root, lambda: _downloaded(listed))


def _downloaded(listed: ExtractorFile) -> bytes:
    """From where its makers (of Inception: torch-fidelity) have it, kept in the cache of torch.hub."""
    import torch

    url = _address(listed)
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(place), listed.sha256)
    except (OSError, RuntimeError) as error:
        raise Unreachable(
            f"reference.extractors: the weights of {listed.kind} must be to be had from {url}, but {error}; "
            "get the file by other means and give its path"
        ) from error
    return place.read_bytes()


def _address(listed: ExtractorFile) -> str:
    if listed.family == "dinov2":
        return dinov2_address(listed.kind)
    from pipelines.tools.fidelity import INCEPTION_ADDRESS

    return INCEPTION_ADDRESS


def efficientnet_extractor(side: int, device: "torch.device") -> Extractor:
    """EfficientNet-Lite0 with the ImageNet weights that its package carries."""
    from pipelines.tools.efficientnet import load_efficientnet

    network, digest, preprocess = load_efficientnet(side, device)
    return Extractor("efficientnet_lite0", digest, preprocess, lambda images: network(in_colour(images)), at_once=16)


def dinov2_extractor(weights: bytes, device: "torch.device") -> Extractor:
    """DINOv2 from the bytes of its file, whose digest the listing gave."""
    from pipelines.tools.dinov2 import load_dinov2

    network, preprocess = load_dinov2(weights, device)
    return Extractor("dinov2", sha256_bytes(weights), preprocess, lambda images: network(in_colour(images)), at_once=16)


def in_colour(images: "torch.Tensor") -> "torch.Tensor":
    """Pictures of one channel as three equal ones; those of three as they are."""
    channels = images.shape[1]
    if channels not in _COLOURS:
        raise DataError(
            f"a network trained on photographs takes pictures of 1 or 3 channels, got {channels}; convert the source, "
            "or give labels, so that a classifier of these data can be trained"
        )
    return images.expand(-1, 3, -1, -1) if channels == 1 else images


def ready(model: Any, device: "torch.device") -> Any:
    """A network to look through: weights in channels_last, which on a CPU is two to three times as fast."""
    import torch

    return model.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def open_extractors(
    files: Mapping[str, bytes], classifier_used: bool, side: int, spec: DataSpec, device: "torch.device"
) -> list[Extractor]:
    """Those whose files are among these, the classifier where it is good enough, and EfficientNet-Lite0."""
    extractors = []
    if INCEPTION_NAME in files:
        from pipelines.tools.fidelity import inception_extractor

        extractors.append(inception_extractor(files[INCEPTION_NAME], device))
    if DINOV2_NAME in files:
        extractors.append(dinov2_extractor(files[DINOV2_NAME], device))
    if classifier_used:
        extractors.append(classifier_extractor(files[CLASSIFIER_NAME], spec, device))
    if not classifier_used:
        extractors.append(efficientnet_extractor(side, device))
    elif spec.shape[0] in _COLOURS:
        extractors.append(replace(efficientnet_extractor(side, device), judge_alone=True))
    else:
        log.warning("EfficientNet-Lite0 cannot judge pictures of %d channels; the classifier does alone", spec.shape[0])
    return extractors


def versions() -> dict[str, str]:
    """The libraries whose versions a measurement depends on."""
    from importlib.metadata import version

    return {name: version(name).split("+")[0] for name in ("numpy", "torch", "torch-fidelity")}
