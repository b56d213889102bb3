"""What the checks of gpu_acceptance.py share: one place for precision and order of sums, networks, data, trainers."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gpu_acceptance import LeftOut, Record
from networks import CIFAR10_DDPM
from torch import Tensor, nn

from ddpm_core.device import seed_network
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.models import UNetConfig
from ddpm_core.objectives.base import Draw
from ddpm_core.objectives.batch import Batch, LabelDropout
from ddpm_core.objectives.diffusion import DiffusionObjective, build_objective
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import DataSpec, labelled
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.config import Adam, AdamW, Constant, Muon, TrainConfig
from ddpm_core.training.trainer import Trainer
from pipelines.kinds.pictures.training.config import AugmentConfig, Colour, Padded, Rotation

Precision = Literal["bf16", "tf32", "fp32"]

NO_CHANGE = AugmentConfig(
    0.0, 0.0, Padded("padded", 0.0, 1, "edge"), Rotation(0.0, 0.0, "edge"), Colour(0.0, 0.0, 0.0, 0.0, 0.0)
)
OPTIMISERS: dict[str, Adam | AdamW | Muon] = {
    "adam": Adam("adam", (0.9, 0.99), 1e-8),
    "adamw": AdamW("adamw", (0.9, 0.99), 1e-8, 0.01),
    "muon": Muon("muon", 10.0, 0.95, (0.9, 0.99), 1e-8, 0.0),
}
DIFFUSION = DiffusionConfig(
    kind="diffusion",
    schedule=Cosine("cosine", 1000, 0.008, 0.999, False),
    target="v",
    variance="fixed_small",
    weighting=Simple("simple"),
    time_law=Uniform("uniform", True),
    vlb_weight=0.001,
)
DEFAULT = UNetConfig("unet", 2, 32, (1, 2), 2, (1,), 4, 8, 0.0, True, False, 0)
"""That of params.yaml."""
PLAIN = UNetConfig("unet", 1, 16, (1, 2), 1, (1,), 2, 8, 0.0, False, True, 0)
"""Of other choices: no patches, no scale and shift, blocks that halve; attention at the coarser level."""
GREY = labelled((1, 28, 28), (-1.0, 1.0), 256, tuple("0123456789"))
COLOUR = labelled((3, 32, 32), (-1.0, 1.0), 256, ())
SMALL_GREY = labelled((1, 8, 8), (-1.0, 1.0), 256, tuple("0123456789"))
SMALL_COLOUR = labelled((3, 8, 8), (-1.0, 1.0), 256, ())


def prepare(precision: Precision, *, deterministic: bool = True) -> torch.dtype:
    """Set how float32 is multiplied on a GPU, and whether its kernels add in a fixed order; autocast's type.

    `fp32` is true float32, in convolutions too; with the others float32 is TF32. All of torch's switches are set
    together: one of them alone makes torch refuse to read another.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        from ddpm_core.device import set_precision
    except ImportError:
        torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
    else:
        set_precision(precision)
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic
    return torch.bfloat16 if precision == "bf16" else torch.float32


@dataclass
class Context:
    """Where the checks run, and at which size."""

    device: torch.device
    tiny: bool
    data: Path | None
    out: Path | None
    compiles: bool = True  # whether the checks compile networks: minutes on a CPU
    left: Callable[[], float] = field(default=lambda: float("inf"))  # seconds of the budget

    @classmethod
    def of(
        cls, device: str, tiny: bool, data: Path | None = None, out: Path | None = None, compiling: bool | None = None
    ) -> "Context":
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise SystemExit("--device cuda: torch finds no CUDA device")
        found = torch.device("cuda", torch.cuda.current_device()) if device == "cuda" else torch.device("cpu")
        return cls(found, tiny, data, out, device == "cuda" if compiling is None else compiling)

    def compiling(self, record: Record) -> bool:
        """Whether to compile; that it is not done is told."""
        if not self.compiles:
            record.note("compiled", "left out: --compile does it (minutes on a CPU)")
        return self.compiles

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def needs_cuda(self) -> None:
        if not self.cuda:
            raise LeftOut("needs CUDA")

    def size(self, full: Any, tiny: Any) -> Any:
        return tiny if self.tiny else full

    def sync(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def empty(self) -> None:
        """Give back the GPU's memory of what is gone."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()

    @property
    def default(self) -> tuple[UNetConfig, DataSpec]:
        """The network of params.yaml on digits; in toy size narrow and of one level, on 8 x 8."""
        small = replace(DEFAULT, channels=16, multipliers=(1,), blocks=1, attention_levels=(0,))
        return self.size((DEFAULT, GREY), (small, SMALL_GREY))

    @property
    def plain(self) -> tuple[UNetConfig, DataSpec]:
        return self.size((replace(PLAIN, channels=64), COLOUR), (PLAIN, SMALL_COLOUR))

    @property
    def short(self) -> tuple[UNetConfig, DataSpec]:
        """With every kind of layer, but few of them: compiling takes time by the layer."""
        one = replace(PLAIN, blocks=1, resblock_updown=False, channels=self.size(64, 16))
        return self.size((one, COLOUR), (replace(one, multipliers=(1,), attention_levels=(0,)), SMALL_COLOUR))

    @property
    def cifar(self) -> tuple[UNetConfig, DataSpec]:
        """The 35.7 million parameters of Ho et al. 2020; in toy size its shape, but narrow and shallow."""
        small = replace(CIFAR10_DDPM, channels=16, multipliers=(1, 2), blocks=1, norm_groups=8)
        return self.size((CIFAR10_DDPM, COLOUR), (small, SMALL_COLOUR))


def config_of(**changes: Any) -> TrainConfig:
    """A short training; fields that a version of TrainConfig has beside these take what `extra` says."""
    values: dict[str, Any] = {
        "seed": 3, "init_from": None, "steps": 20, "batch_size": 16, "accumulate": 1, "conditioning": "auto",
        "label_dropout": 0.1, "augment": NO_CHANGE, "lr": 1e-3, "warmup_steps": 4, "lr_schedule": Constant("constant"),
        "optimiser": OPTIMISERS["adamw"], "grad_clip": 1.0, "ema_decay": 0.9, "ema_more": (), "ema_warmup": 10.0,
        "precision": "auto", "compile": "never", "log_every": 5, "sample_every": 0, "checkpoint_every": 1000,
        "keep_checkpoints": 3, "keep_trainings": 2, "hold_out": 0, "on_nonfinite": "stop", "nonfinite_limit": 2,
    }  # fmt: skip
    known = {each.name for each in fields(TrainConfig)}
    return TrainConfig(**{name: value for name, value in {**values, **changes}.items() if name in known})


def network(config: UNetConfig, spec: DataSpec, device: torch.device, seed: int = 3) -> nn.Module:
    """As a training builds it: channels_last on a GPU."""
    seed_network(seed, 0)
    model = config.build(spec, False)
    return model.to(memory_format=torch.channels_last) if device.type == "cuda" else model


def stirred(model: nn.Module, share: float = 0.1) -> nn.Module:
    """Every weight moved a little, so that branches that begin as zero have a say."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            scale = share * float(weight.std()) if weight.dim() > 1 and float(weight.abs().max()) > 0 else share / 2
            weight.add_(torch.randn(weight.shape, generator=generator) * scale)
    return model


def batch_of(spec: DataSpec, size: int, number: int) -> Batch:
    """Batch `number`: a smooth random picture each, a function of the number alone."""
    rng = np.random.default_rng((11, number))
    height, width = spec.shape[1:]
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    x, y, level = (rng.uniform(-1, 1, (size, spec.channels, 1, 1)).astype(np.float32) for _ in range(3))
    x0 = np.clip(np.cos(3 * (rows - x)) * np.cos(3 * (columns - y)) + 0.3 * level, -1, 1)
    cond = {"label": torch.from_numpy(rng.integers(0, len(spec.classes), size))} if spec.classes else {}
    return Batch(torch.from_numpy(x0), cond)


def source(spec: DataSpec, size: int, kinds: int = 64) -> Callable[[int], Iterator[Batch]]:
    """`batches(k)`: batch k is one of so many."""
    made: dict[int, Batch] = {}

    def batches(start: int) -> Iterator[Batch]:
        step = start
        while True:
            number = step % kinds
            if number not in made:
                made[number] = batch_of(spec, size, number)
            yield made[number]
            step += 1

    return batches


def objective_of(spec: DataSpec) -> DiffusionObjective:
    dropout = LabelDropout({"label": len(spec.classes)}, 0.1) if spec.classes else None
    return build_objective(DIFFUSION, spec, dropout)


class Faulty:
    """An objective whose loss is infinite once, at one step, by its draw: a GPU may have the loss recorded."""

    def __init__(self, objective: DiffusionObjective, step: int) -> None:
        self._objective, self._step = objective, step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def draw(self, batch: Batch, seed: int, step: int, *rest: Any, **more: Any) -> Draw:
        found = self._objective.draw(batch, seed, step, *rest, **more)
        if step + 1 != self._step:
            return found
        self._step = 0
        return replace(found, factor=found.factor * float("inf"))


def trainer_of(
    context: Context,
    which: tuple[UNetConfig, DataSpec],
    config: TrainConfig,
    dtype: torch.dtype,
    *,
    folder: Path | None = None,
    objective: Any = None,
    batches: Callable[[int], Iterator[Batch]] | None = None,
    **options: Any,
) -> Trainer:
    """A fresh training as the pipeline makes one."""
    net, spec = which
    return Trainer(
        network(net, spec, context.device),
        objective_of(spec) if objective is None else objective,
        config,
        source(spec, config.batch_size) if batches is None else batches,
        device=context.device,
        dtype=dtype,
        checkpoints=Checkpoints(folder, config.keep_checkpoints) if folder is not None else None,
        **options,
    )


def advance(trainer: Trainer, steps: int) -> None:
    """Take so many steps, and let go of the data."""
    reports = trainer.run()
    for _ in range(steps):
        next(reports)
    reports.close()


def tensors_of(trainer: Trainer, folder: Path) -> dict[str, Tensor]:
    """All tensors that a checkpoint of this moment holds, as they lie on the disk; `folder` is the trainer's own."""
    trainer.save()
    return Checkpoints(folder, 3).load(trainer.step).tensors


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a while."""
    place = Path(tempfile.mkdtemp(prefix="gpu-acceptance-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
