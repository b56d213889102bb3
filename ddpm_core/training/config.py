"""Section `train`: how a network is trained; without torch, so that it is checked before torch is imported."""

from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from ddpm_core.checks import Checks, Config, at_least_1, fraction, not_negative, positive

_betas = (lambda v: all(0 <= beta < 1 for beta in v), "two numbers of at least 0 and below 1")

Precision = Literal["auto", "bf16", "tf32", "fp32"]
Compile = Literal["auto", "never", "always"]
Conditioning = Literal["auto", "labels", "none"]
OnNonfinite = Literal["stop", "skip", "roll_back"]
Augment = TypeVar("Augment")
"""What may happen to data before the network sees them; each kind of data has its own."""


@dataclass(frozen=True)
class AdamW(Config):
    """Loshchilov & Hutter 2019: Adam with decoupled weight decay."""

    kind: Literal["adamw"]
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    __checks__: ClassVar[Checks] = {"betas": _betas, "eps": positive, "weight_decay": not_negative}


@dataclass(frozen=True)
class Adam(Config):
    """Kingma & Ba 2015."""

    kind: Literal["adam"]
    betas: tuple[float, float]
    eps: float
    __checks__: ClassVar[Checks] = {"betas": _betas, "eps": positive}


@dataclass(frozen=True)
class Muon(Config):
    """Jordan et al. 2024 for kernels and matrices, at `scale` times the rate; AdamW for other parameters."""

    kind: Literal["muon"]
    scale: float
    momentum: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    __checks__: ClassVar[Checks] = {
        "scale": positive,
        "momentum": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
        "betas": _betas,
        "eps": positive,
        "weight_decay": not_negative,
    }


OptimiserConfig = AdamW | Adam | Muon


@dataclass(frozen=True)
class Constant(Config):
    """The learning rate stays where the warm-up ends."""

    kind: Literal["constant"]


@dataclass(frozen=True)
class Cosine(Config):
    """Half a cosine from the end of the warm-up to `final_fraction` of the rate at the last step."""

    kind: Literal["cosine"]
    final_fraction: float
    __checks__: ClassVar[Checks] = {"final_fraction": fraction}


@dataclass(frozen=True)
class InverseSqrt(Config):
    """Vaswani et al. 2017: the rate falls as sqrt(steps_at_full / step) once `steps_at_full` steps are done."""

    kind: Literal["inverse_sqrt"]
    steps_at_full: int
    __checks__: ClassVar[Checks] = {"steps_at_full": at_least_1}


LrScheduleConfig = Constant | Cosine | InverseSqrt


@dataclass(frozen=True)
class InitFrom(Config):
    """Initial weights; with the digest as a parameter, another file makes the stage stale."""

    path: str
    sha256: str
    __checks__: ClassVar[Checks] = {
        "path": (lambda v: bool(v), "the path of a safetensors file or a bundle, from the project's folder"),
        "sha256": (lambda v: len(v) == 64 and not set(v) - set("0123456789abcdef"), "64 hexadecimal digits"),
    }


@dataclass(frozen=True)
class TrainConfig(Config, Generic[Augment]):
    """Section `train` of params.yaml."""

    seed: int
    init_from: InitFrom | None
    steps: int
    batch_size: int
    accumulate: int
    conditioning: Conditioning
    label_dropout: float
    augment: Augment
    lr: float
    warmup_steps: int
    lr_schedule: LrScheduleConfig
    optimiser: OptimiserConfig
    grad_clip: float
    ema_decay: float
    ema_more: tuple[float, ...]
    ema_warmup: float
    precision: Precision
    compile: Compile
    log_every: int
    sample_every: int
    checkpoint_every: int
    keep_checkpoints: int
    keep_trainings: int
    hold_out: int
    on_nonfinite: OnNonfinite
    nonfinite_limit: int

    __checks__: ClassVar[Checks] = {
        "seed": (lambda v: 0 <= v < 2**63, "from 0 to 2^63 - 1"),
        "steps": not_negative,
        "batch_size": at_least_1,
        "accumulate": at_least_1,
        "label_dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
        "lr": positive,
        "warmup_steps": not_negative,
        "grad_clip": not_negative,
        "ema_decay": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
        "ema_more": (
            lambda v: len(set(v)) == len(v) and all(0 <= decay < 1 for decay in v),
            "different numbers of at least 0 and below 1",
        ),
        "ema_warmup": at_least_1,
        "log_every": at_least_1,
        "sample_every": not_negative,
        "checkpoint_every": at_least_1,
        "keep_checkpoints": at_least_1,
        "keep_trainings": not_negative,
        "hold_out": not_negative,
        "nonfinite_limit": not_negative,
    }

    def faults(self) -> list[str]:
        lines = []
        if self.batch_size % self.accumulate:
            lines.append(
                f"batch_size: must be a multiple of accumulate, got batch_size={self.batch_size}, "
                f"accumulate={self.accumulate}"
            )
        if self.warmup_steps >= max(self.steps, 1):
            lines.append(f"warmup_steps: must be below steps = {self.steps}, or 0, got {self.warmup_steps}")
        if self.steps == 0 and self.init_from is None:
            lines.append("steps: must be at least 1 without init_from, got 0")
        if self.hold_out and self.checkpoint_every % self.log_every:
            lines.append(
                "checkpoint_every: must be a multiple of log_every if hold_out is above 0, got "
                f"checkpoint_every={self.checkpoint_every}, log_every={self.log_every}"
            )
        if self.ema_decay in self.ema_more:
            lines.append(f"ema_more: must be other decays than ema_decay, got {self.ema_decay} in both")
        return lines
