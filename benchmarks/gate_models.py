"""Models for benchmarks/gate_trial.py: two good ones and four with faults, trained by this package, and their samples.

    python benchmarks/gate_models.py DATA [MODEL ...]

DATA is the folder of benchmarks/gate_data.py. Model, process and training are those of params.yaml but for what each
model says below. A model is one file DATA/models/NAME.npz and a grid NAME.png to look at.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import common  # noqa: F401 - one thread
import numpy as np
import torch
from gate_data import DataSet
from gate_features import CPU, save, spec_of
from PIL import Image

from ddpm_core.device import seed_network
from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.metrics.labels import asked_labels
from ddpm_core.objectives.batch import Batch, LabelDropout
from ddpm_core.objectives.diffusion import build_objective
from ddpm_core.tensors.denoiser import bind, bind_guided
from ddpm_core.training.trainer import Trainer
from pipelines.params import Params, load_params


@dataclass(frozen=True)
class Model:
    """`few`: it sees but the first so many pictures; `below`: it sees but the classes below this one."""

    name: str
    data: str
    good: bool
    steps: int
    samples: int
    few: int | None = None
    below: int | None = None


MODELS = (
    Model("digits", "digits", True, 1000, 1000),
    Model("fashion", "fashion", True, 1000, 1000),
    Model("digits, 30 updates", "digits", False, 30, 250),
    Model("emoji blobs", "emoji", False, 120, 250),
    Model("ten digits repeated", "digits", False, 150, 250, few=10),
    Model("half the digits", "digits", False, 400, 250, below=5),
)
MODEL = {model.name: model for model in MODELS}


def file_of(folder: Path, model: Model) -> Path:
    return folder / "models" / f"{model.name.replace(', ', '-').replace(' ', '-')}.npz"


def trained(model: Model, data: DataSet, params: Params) -> torch.nn.Module:
    """The averaged network."""
    spec, conditional = spec_of(data), data.classes >= 2
    warmup = min(params.train.warmup_steps, model.steps // 3)
    config = replace(params.train, steps=model.steps, warmup_steps=warmup, precision="fp32", compile="never")
    seen = np.arange(len(data.train))[: model.few]
    if model.below is not None:
        seen = seen[data.train_labels[seen] < model.below]
    x0, label = torch.from_numpy(spec.encode(data.train[seen])), torch.from_numpy(data.train_labels[seen])

    def batches(start: int) -> Iterator[Batch]:
        rng = np.random.default_rng(config.seed)
        order = np.empty(0, dtype=np.int64)
        while True:
            while len(order) < config.batch_size:
                order = np.append(order, rng.permutation(len(seen)))
            rows, order = order[: config.batch_size], order[config.batch_size :]
            yield Batch(x0[rows], {"label": label[rows]} if conditional else {})

    seed_network(config.seed, 0)
    network, _ = params.model.resolved(spec, lambda: data.train[:1000])
    net = network.build(spec if conditional else spec.told(()), params.diffusion.learned_variance)
    dropout = LabelDropout({"label": data.classes}, config.label_dropout) if conditional else None
    objective = build_objective(params.diffusion, spec, dropout)
    trainer = Trainer(net, objective, config, batches, device=CPU, dtype=torch.float32)
    for _ in trainer.run():
        pass
    return trainer.ema.model.eval()


def sampled(net: torch.nn.Module, data: DataSet, params: Params, labels: np.ndarray) -> np.ndarray:
    """A picture for each label by the sampler of params.yaml, of seed 0 and on."""
    spec, parameterisation, defaults = spec_of(data), params.diffusion.parameterisation(), params.sample
    plan, guidance = defaults.sampler.plan(parameterisation.schedule, params.diffusion.variance), defaults.guidance
    made = []
    for start in range(0, len(labels), 50):
        asked = torch.from_numpy(labels[start : start + 50])
        seeds = list(range(start, start + len(asked)))
        denoise = bind(net, {})
        if data.classes >= 2:
            denoise = bind_guided(
                net,
                {"label": asked},
                guidance.weight,
                null={"label": data.classes},
                channels=spec.channels,
                interval=guidance.time_interval(parameterisation.schedule),
                rescale=guidance.rescale,
            )
        x_T = torch.from_numpy(initial(seeds, spec.shape) * np.float32(plan.start_scale))
        noise = lambda step, seeds=seeds: torch.from_numpy(step_noise(seeds, step, spec.shape))  # noqa: E731
        x0 = generate(plan, parameterisation, denoise, x_T, noise, bound=operator(plan.bound, spec.range))
        made.append(spec.decode(x0.numpy()))
    return np.concatenate(made)


def grid(images: np.ndarray, columns: int = 20, rows: int = 8) -> Image.Image:
    some = images[: columns * rows].transpose(0, 2, 3, 1)
    _, high, wide, channels = some.shape
    page = some.reshape(-1, columns, high, wide, channels).swapaxes(1, 2).reshape(-1, columns * wide, channels)
    return Image.fromarray(np.repeat(page, 3, axis=2) if channels == 1 else page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="*", default=list(MODEL))
    args = parser.parse_args()
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    (args.data / "models").mkdir(exist_ok=True)
    for model in (MODEL[name] for name in args.models):
        path = file_of(args.data, model)
        if path.is_file():
            continue
        began, data = time.process_time(), DataSet.load(args.data, model.data)
        labels = asked_labels(data.held_labels, model.samples, 0)
        images = sampled(trained(model, data, params), data, params, labels)
        save(path, {"images": images, "labels": labels})
        grid(images).save(path.with_suffix(".png"))
        print(f"{model.name}: {time.process_time() - began:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
