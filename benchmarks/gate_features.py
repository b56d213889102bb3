"""What the gate's two extractors make of the data sets of benchmarks/gate_data.py and of faulty pictures made of them.

    python benchmarks/gate_features.py DATA efficientnet_lite0 [SET ...] [--training 400 --held 600 --pool 250]
    python benchmarks/gate_features.py DATA classifier [SET ...] [--training 1200 --held 2000 --pool 1000]

One file DATA/SET.EXTRACTOR.npz each, so that the command can be stopped and called again; and one for each file of
DATA/models, of the samples of benchmarks/gate_models.py. A classifier too weak for the pipeline is named and left
out.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import common  # noqa: F401 - one thread
import numpy as np
import torch
from gate_controls import ALIKE, CHANGES
from gate_data import SETS, DataSet

from ddpm_core.spec import DataSpec, labelled
from pipelines.kinds.pictures.reference.classifier import train_classifier
from pipelines.kinds.pictures.reference.extractor import Extractor, extract
from pipelines.kinds.pictures.reference.extractors import classifier_bytes, classifier_extractor, efficientnet_extractor
from pipelines.params import load_params

CPU, SIDE = torch.device("cpu"), 128
PARAMS = Path(__file__).parents[1] / "params.yaml"
EXTRACTORS = ("efficientnet_lite0", "classifier")
See = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]  # pictures to features and, of labels, the called


def spec_of(data: DataSet) -> DataSpec:
    classes = tuple(str(label) for label in range(data.classes))
    return labelled(data.train.shape[1:], (-1.0, 1.0), 256, classes)


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
    see = looking_through(classifier_extractor(classifier_bytes(model, config), spec, CPU))
    accuracy = float((see(data.held)[1] == data.held_labels).mean())
    return (see if accuracy >= config.min_accuracy else None), accuracy


def looking_through(extractor: Extractor) -> See:
    """Features and, of the classifier, the label that each picture is called by."""

    def see(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        found = extract(extractor, images, 250, CPU, "pictures")
        return found.features, found.logits.argmax(axis=1) if extractor.name == "classifier" else None

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


def unseen_models(folder: Path, data: str, extractor: str) -> list[Path]:
    """The files of samples of models of these data at which the extractor has not looked."""
    from gate_models import MODELS, file_of

    made = [file_of(folder, model) for model in MODELS if model.data == data]
    return [path for path in made if path.is_file() and not seen_file(path, extractor).is_file()]


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
    network = looking_through(efficientnet_extractor(SIDE, CPU)) if args.extractor == "efficientnet_lite0" else None
    for name in args.sets:
        source, models = args.data / f"{name}.npz", unseen_models(args.data, name, args.extractor)
        path = seen_file(source, args.extractor)
        if not source.is_file() or (path.is_file() and not models):
            continue
        began, data, see, words = time.process_time(), DataSet.load(args.data, name), network, ""
        if args.extractor == "classifier":
            see, accuracy = classifier_of(data, args.classifier_steps)
            words = f" of accuracy {accuracy:.1%}" + (", not used" if see is None else "")
        if see is not None:
            for made in models:
                with np.load(made) as arrays:
                    features, called = see(arrays["images"])
                found = {"features": features} | ({} if called is None else {"called": called})
                save(seen_file(made, args.extractor), found)
            if not path.is_file():
                save(path, looked_at(data, see, args.training, args.held, args.pool))
        print(f"{name}: {args.extractor}{words}; {time.process_time() - began:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
