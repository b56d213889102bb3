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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import ParamsError, Unreachable
from ddpm_core.files import sha256_bytes
from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.reference.config import ClassifierConfig
from pipelines.kinds.pictures.reference.extractor import COLOURS, Extractor, in_colour, laid_on, ready
from pipelines.kinds.pictures.reference.weights_files import (
    INCEPTION_SHA256,
    ExtractorFile,
    dinov2_address,
    read_weights_file,
)
from pipelines.kinds.pictures.rows.rules import BACKGROUND

if TYPE_CHECKING:
    import torch

    from pipelines.kinds.pictures.reference.classifier import Classifier

    Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

log = logging.getLogger(__name__)

CLASSIFIER_NAME, INCEPTION_NAME, DINOV2_NAME = "classifier.safetensors", "inception.pth", "dinov2.pth"


def read_classifier(weights: bytes, spec: DataSpec) -> "Classifier":
    """The in-domain classifier from the bytes of its file, as it was trained."""
    from safetensors.torch import load

    from pipelines.kinds.pictures.reference.classifier import Classifier

    model = Classifier(spec, width=int(json.loads(_metadata(weights))["width"]))
    model.load_state_dict(load(weights))
    return model.eval()


def classifier_extractor(weights: bytes, spec: DataSpec, device: "torch.device") -> Extractor:
    """The in-domain classifier to look through."""
    from pipelines.kinds.pictures.reference.classifier import folded

    model = read_classifier(weights, spec)
    preprocess = f"levels to [-1, 1], averaged down by {model.reduce}"
    return Extractor("classifier", sha256_bytes(weights), preprocess, ready(folded(model), device), at_once=64)


def classifier_bytes(model: "Classifier", config: ClassifierConfig) -> bytes:
    """The file of a trained classifier; one metadata key, so that its bytes repeat."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, metadata={"ddpm": json.dumps({"width": config.width}, sort_keys=True)})


def attribute_classes(weights: bytes, spec: DataSpec, features: NDArray[np.float32]) -> dict[str, NDArray[np.int64]]:
    """What the classifier calls each attribute of pictures, by its own features of them [n, 64]."""
    import torch

    model = read_classifier(weights, spec)
    with torch.inference_mode():
        rows = torch.from_numpy(features)
        return {name: model.attribute(name, rows).argmax(dim=1).numpy() for name in spec.attributes}


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
    from pipelines.kinds.pictures.reference.inception import INCEPTION_ADDRESS

    return INCEPTION_ADDRESS


def efficientnet_extractor(side: int, device: "torch.device") -> Extractor:
    """EfficientNet-Lite0 with the ImageNet weights that its package carries."""
    from pipelines.kinds.pictures.reference.efficientnet import load_efficientnet

    network, digest, preprocess = load_efficientnet(side, device)
    return Extractor("efficientnet_lite0", digest, preprocess, lambda images: network(in_colour(images)), at_once=16)


def dinov2_extractor(weights: bytes, device: "torch.device") -> Extractor:
    """DINOv2 from the bytes of its file, whose digest the listing gave."""
    from pipelines.kinds.pictures.reference.dinov2 import load_dinov2

    network, preprocess = load_dinov2(weights, device)
    return Extractor("dinov2", sha256_bytes(weights), preprocess, lambda images: network(in_colour(images)), at_once=16)


def open_extractors(
    files: Mapping[str, bytes], classifier_used: bool, side: int, spec: DataSpec, device: "torch.device"
) -> list[Extractor]:
    """Those whose files are among these, the classifier where it is good enough, and EfficientNet-Lite0.

    All but the classifier look at transparent pictures on the background of the data.
    """
    extractors: list[Extractor] = []
    if INCEPTION_NAME in files:
        from pipelines.kinds.pictures.reference.inception import inception_extractor

        extractors.append(inception_extractor(files[INCEPTION_NAME], device))
    if DINOV2_NAME in files:
        extractors.append(dinov2_extractor(files[DINOV2_NAME], device))
    ground = spec.about.get(BACKGROUND) if spec.shape[0] == 4 else None
    if ground is not None:
        extractors = [laid_on(extractor, ground) for extractor in extractors]
    if classifier_used:
        extractors.append(classifier_extractor(files[CLASSIFIER_NAME], spec, device))
    if not classifier_used or spec.shape[0] in COLOURS or ground is not None:
        network = replace(efficientnet_extractor(side, device), judge_alone=classifier_used)
        extractors.append(network if ground is None else laid_on(network, ground))
    else:
        log.warning("EfficientNet-Lite0 cannot judge pictures of %d channels; the classifier does alone", spec.shape[0])
    return extractors


def versions() -> dict[str, str]:
    """The libraries whose versions a measurement depends on."""
    from importlib.metadata import version

    return {name: version(name).split("+")[0] for name in ("numpy", "torch", "torch-fidelity")}
