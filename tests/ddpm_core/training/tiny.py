"""A training so small that a step takes a millisecond: a linear network on vectors, nothing of pictures."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_core.device import seed_network
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import SecondMoment, Uniform
from ddpm_core.objectives.batch import Batch, LabelDropout
from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.tensors.process import Process
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.config import AdamW, Constant, Muon, TrainConfig
from ddpm_core.training.config import Cosine as CosineLr
from ddpm_core.training.distributed import ALONE, Processes
from ddpm_core.training.trainer import Trainer
from pipelines.kinds.pictures.training.config import AugmentConfig, Colour, Padded, Rotation

CPU = torch.device("cpu")
NO_CHANGE = AugmentConfig(
    0.0, 0.0, Padded("padded", 0.0, 1, "edge"), Rotation(0.0, 0.0, "edge"), Colour(0.0, 0.0, 0.0, 0.0, 0.0)
)
CONFIG = TrainConfig(
    seed=3,
    init_from=None,
    steps=24,
    batch_size=8,
    accumulate=1,
    conditioning="auto",
    label_dropout=0.2,
    augment=NO_CHANGE,
    lr=1e-2,
    warmup_steps=4,
    lr_schedule=CosineLr("cosine", 0.1),
    optimiser=AdamW("adamw", (0.9, 0.99), 1e-8, 0.01),
    grad_clip=1.0,
    ema_decay=0.9,
    ema_more=(),
    ema_warmup=10.0,
    precision="fp32",
    compile="never",
    log_every=5,
    sample_every=0,
    checkpoint_every=6,
    keep_checkpoints=2,
    keep_trainings=2,
    hold_out=0,
    on_nonfinite="stop",
    nonfinite_limit=2,
)
CONSTANT = Constant("constant")
MUON = Muon("muon", 10.0, 0.9, (0.9, 0.99), 1e-8, 0.01)


class Net(nn.Module):
    """Data [B, 2, 3], time and a label of 3 classes; it drops activations, so its own randomness matters too."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = dropout
        self.label = nn.Embedding(4, 8)
        self.hidden = nn.Linear(7, 8)
        self.out = nn.Linear(8, 6)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        h = self.hidden(torch.cat([x.flatten(1), t[:, None] / 20], 1)) + self.label(label)
        return self.out(nn.functional.dropout(torch.tanh(h), self.dropout, self.training)).reshape(x.shape)


def batches(start: int) -> Iterator[Batch]:
    """A function of the batch's number alone."""
    step = start
    while True:
        rng = np.random.default_rng(step)
        x0 = torch.from_numpy(rng.standard_normal((8, 2, 3)).astype(np.float32))
        yield Batch(x0, {"label": torch.from_numpy(rng.integers(0, 3, 8))})
        step += 1


def objective(learning_law: bool = False) -> DiffusionObjective:
    schedule = Cosine("cosine", 20, 0.008, 0.999, False).build()
    law = SecondMoment("second_moment", True, 1, 0.1) if learning_law else Uniform("uniform", True)
    process = Process(Parameterisation("v", schedule))
    return DiffusionObjective(process, np.ones(21), law.build(schedule), dropout=LabelDropout({"label": 3}, 0.2))


def trainer(
    folder: Path | None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    source: Callable[[int], Iterator[Batch]] = batches,
    learning_law: bool = False,
    dtype: torch.dtype = torch.float32,
    dropout: float = 0.1,
    processes: Processes = ALONE,
    held_out: Callable[[nn.Module], float] | None = None,
    **changes: Any,
) -> Trainer:
    config = replace(CONFIG, **changes)
    seed_network(config.seed, 0)
    return Trainer(
        Net(dropout),
        objective(learning_law),
        config,
        source,
        device=CPU,
        dtype=dtype,
        checkpoints=Checkpoints(folder, config.keep_checkpoints) if folder else None,
        should_stop=should_stop,
        processes=processes,
        held_out=held_out,
    )


def tensor_bytes(of: Trainer) -> dict[str, bytes]:
    """The tensors that a checkpoint would hold."""
    return {name: tensor.detach().numpy().tobytes() for name, tensor in of._tensors().items()}


def everything(of: Trainer) -> dict[str, Any]:
    """All that the future of a training depends on, to the bit."""
    return {**tensor_bytes(of), **of._state()}
