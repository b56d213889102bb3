"""Check 12: the training of params.yaml in short, samples of its averaged weights, and how like the data they are.

The data and the sections of params.yaml come from the file that gpu_pack.py makes. The samples and the weights' digest
are written beside the JSON.
"""

import json
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_acceptance import LeftOut, Record
from gpu_common import Context, prepare, scratch
from gpu_sections import built
from gpu_tensors import digest
from numpy.typing import NDArray
from torch import nn

from ddpm_core.device import seed_network
from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.metrics.distances import frechet_distances
from ddpm_core.metrics.frechet import RealFeatures, gaussian_of
from ddpm_core.metrics.intervals import Resampling
from ddpm_core.metrics.labels import asked_labels
from ddpm_core.metrics.likeness import Judge
from ddpm_core.metrics.metric import flat
from ddpm_core.models import UNetConfig
from ddpm_core.objectives.batch import Batch, LabelDropout
from ddpm_core.objectives.diffusion import build_objective
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.samplers.config import SampleConfig
from ddpm_core.spec import DataSpec, labelled
from ddpm_core.tensors.denoiser import bind_guided
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.config import TrainConfig
from ddpm_core.training.trainer import Trainer

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """Both splits, what a picture is, and sections of params.yaml as they stand there."""

    train: tuple[Images, Labels]
    test: tuple[Images, Labels]
    spec: DataSpec
    sections: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Data":
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            sides = [(file[f"{side}_images"], file[f"{side}_labels"]) for side in ("train", "test")]
        spec = labelled(tuple(sides[0][0].shape[1:]), (-1.0, 1.0), 256, tuple(about["classes"]))
        return cls(sides[0], sides[1], spec, about["sections"])


# ------------------------------------------------------------------------------------------------------- the check


def trains(context: Context, record: Record) -> None:
    """Train, sample and measure; the bars are those of section `gate` (in toy size: finite numbers alone)."""
    if context.data is None:
        raise LeftOut("no data: make them with gpu_pack.py and give --data FILE.npz")
    data = Data.read(context.data)
    diffusion = built(DiffusionConfig, DiffusionConfig.read(data.sections["diffusion"]))
    precision = "bf16" if context.cuda else "fp32"
    dtype = prepare(precision)
    with scratch() as place:
        trainer = trainer_on(context, data, diffusion, dtype, place)
        context.sync()
        began = time.perf_counter()
        reports = [report for report in trainer.run() if report.measures is not None]
        context.sync()
        seconds = time.perf_counter() - began
    steps = trainer.step
    record.note("precision", precision)
    record.note("steps", steps)
    record.note("training seconds", seconds)
    record.note("ms a step", 1e3 * seconds / steps)
    record.note("losses", [[report.step, report.measures.loss] for report in reports])
    first, last = reports[0].measures.loss, reports[-1].measures.loss
    record.must("loss falls", last < first, [first, last])
    record.note("weights", digest(trainer.ema.model.state_dict()))
    record.flush()
    exact = prepare("fp32")
    measure(context, record, data, diffusion, trainer.ema.model, exact)


def trainer_on(context: Context, data: Data, diffusion: DiffusionConfig, dtype: torch.dtype, place: Path) -> Trainer:
    """The training that the pipeline would make of these sections; in toy size with few steps."""
    config = built(TrainConfig, data.sections["train"])
    if context.tiny:
        config = replace(config, steps=16, warmup_steps=2, log_every=4, batch_size=8)
    model, _ = built(UNetConfig, data.sections["model"]).resolved(data.spec, lambda: data.train[0][:1000])
    seed_network(config.seed, 0)
    net = model.build(data.spec, diffusion.learned_variance)
    return Trainer(
        net.to(memory_format=torch.channels_last) if context.cuda else net,
        build_objective(diffusion, data.spec, LabelDropout({"label": len(data.spec.classes)}, config.label_dropout)),
        config,
        shuffled(data, config.batch_size, config.seed),
        device=context.device,
        dtype=dtype,
        checkpoints=Checkpoints(place, config.keep_checkpoints),
    )


def shuffled(data: Data, size: int, seed: int) -> Callable[[int], Iterator[Batch]]:
    """`batches(k)`: the training pictures in an order of their own each time round, a function of (seed, k)."""
    images, labels = data.train
    x0, y = data.spec.encode(images), labels.astype(np.int64)
    of_a_round = len(images) // size

    def batches(start: int) -> Iterator[Batch]:
        step = start
        while True:
            turn, place = divmod(step, of_a_round)
            rows = np.random.default_rng((seed, turn)).permutation(len(images))[place * size : (place + 1) * size]
            yield Batch(torch.from_numpy(x0[rows]), {"label": torch.from_numpy(y[rows])})
            step += 1

    return batches


# --------------------------------------------------------------------------------------------- samples and measures


def measure(
    context: Context, record: Record, data: Data, diffusion: DiffusionConfig, net: nn.Module, dtype: torch.dtype
) -> None:
    evaluate, gate = data.sections["evaluate"], data.sections["gate"]
    count = context.size(len(data.test[0]), 40)
    asked = asked_labels(data.test[1], count, evaluate["seed"])
    settings = built(SampleConfig, data.sections["sample"])
    context.sync()
    began = time.perf_counter()
    x0 = np.concatenate(
        [
            samples(net, diffusion, data.spec, settings, range(start, start + len(labels)), labels, context, dtype)
            for start, labels in _chunks(asked, 512)
        ]
    )
    record.note("sampling seconds", time.perf_counter() - began)
    record.must("samples finite", bool(np.isfinite(x0).all()))
    pictures = data.spec.decode(x0)
    write_grid(context, record, pictures, asked, len(data.spec.classes))
    record.flush()
    sides = classifier_of(context, data)
    features, called = sides(pictures)
    train, test = sides(data.train[0])[0], sides(data.test[0])
    real = RealFeatures(gaussian_of(train), train, data.train[1], test[0], data.test[1])
    how = Resampling(evaluate["resamples"], evaluate["seed"], evaluate["confidence"])
    draws = evaluate["floor_draws"]
    metrics = frechet_distances("fcd", features, asked, real, draws, how)
    judge = Judge.of("classifier", real, asked, draws, evaluate["seed"])
    metrics += [judge.energy(features, asked, how), judge.lost(features, how)]
    found = flat(metrics, how.confidence)
    for name in (
        "fcd_train", "fcd_floor_train", "fcd_ratio_train", "fcd_test", "fcd_floor_test", "fcd_ratio_test",
        "energy_classifier_low", "energy_classifier_high",
    ):  # fmt: skip
        record.note(name, float(found[name]))
    accuracy, unseen = float((called == asked).mean()), float((test[1] == data.test[1]).mean())
    record.note("accuracy_heldout", unseen)
    if context.tiny:
        record.note("accuracy_asked", accuracy)
        record.must("energy finite", bool(np.isfinite(found["energy_classifier"])), float(found["energy_classifier"]))
        return
    record.at_least("accuracy_asked", accuracy, unseen - gate["max_accuracy_loss"])
    record.at_most("energy_classifier", float(found["energy_classifier"]), gate["max_energy"])
    record.at_most("lost_classifier", float(found["lost_classifier"]), gate["max_lost"])


def _chunks(labels: Labels, size: int) -> Iterator[tuple[int, Labels]]:
    for start in range(0, len(labels), size):
        yield start, labels[start : start + size]


def samples(
    net: nn.Module,
    diffusion: DiffusionConfig,
    spec: DataSpec,
    settings: SampleConfig,
    seeds: range,
    labels: Labels,
    context: Context,
    dtype: torch.dtype,
) -> NDArray[np.float32]:
    """As `ddpm_core.tensors.sampling.sample`, with the interval and the rescaling of section `sample` besides."""
    parameterisation = diffusion.parameterisation()
    schedule, guidance = parameterisation.schedule, settings.guidance
    plan = settings.sampler.plan(schedule, diffusion.variance)
    denoise = bind_guided(
        net,
        {"label": torch.from_numpy(labels).to(context.device)},
        guidance.weight,
        null=spec.null,
        channels=spec.channels,
        dtype=dtype,
        interval=guidance.time_interval(schedule),
        rescale=guidance.rescale,
    )

    def noise(step: int) -> Any:
        return torch.from_numpy(step_noise(seeds, step, spec.shape)).to(context.device)

    x_T = torch.from_numpy(initial(seeds, spec.shape) * np.float32(plan.start_scale)).to(context.device)
    x0 = generate(plan, parameterisation, denoise, x_T, noise, bound=operator(plan.bound, spec.range))
    return np.asarray(x0.cpu().numpy(), dtype=np.float32)


def classifier_of(context: Context, data: Data) -> Callable[[Images], tuple[NDArray[np.float32], Labels]]:
    """The pipeline's classifier, trained here on the training split: pictures to features and classes."""
    try:
        from pipelines.kinds.pictures.reference.classifier import ClassifierConfig, train_classifier
    except ImportError as error:
        raise LeftOut(f"no {error.name}, which the classifier of the measures needs") from error
    prepare("fp32", deterministic=False)  # the backward pass of its pooling has no fixed order
    config = built(ClassifierConfig, data.sections["reference"]["classifier"])
    config = replace(config, steps=context.size(config.steps, 20))
    model = train_classifier(*data.train, data.spec, config, context.device)

    def apply(images: Images) -> tuple[NDArray[np.float32], Labels]:
        with torch.no_grad():
            parts = [
                model(torch.from_numpy(images[start : start + 500]).to(context.device))
                for start in range(0, len(images), 500)
            ]
        features = torch.cat([part[0] for part in parts]).float().cpu().numpy()
        return features, torch.cat([part[1] for part in parts]).argmax(1).cpu().numpy()

    return apply


def write_grid(context: Context, record: Record, pictures: Images, asked: Labels, classes: int) -> None:
    """Ten samples a row, a row a class, as a PNG beside the JSON; and the digest of the weights."""
    if context.out is None:
        return
    rows = [pictures[np.flatnonzero(asked == label)[:10]] for label in range(classes)]
    whole = np.zeros((classes, 10, *pictures.shape[1:]), np.uint8)
    for label, row in enumerate(rows):
        whole[label, : len(row)] = row
    _, _, channels, height, width = whole.shape
    flat = whole.transpose(0, 3, 1, 4, 2).reshape(classes * height, 10 * width, channels)
    (context.out / "gpu-samples.png").write_bytes(png(flat))
    (context.out / "gpu-weights.sha256").write_text(f"{record.numbers['weights']}\n", encoding="utf-8")


def png(image: NDArray[np.uint8]) -> bytes:
    """[H, W, 1 or 3] as a PNG file."""
    height, width, channels = image.shape
    lines = b"".join(b"\0" + np.ascontiguousarray(line).tobytes() for line in image)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body
