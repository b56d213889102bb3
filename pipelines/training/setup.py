"""Sets up a training: its data, network and objective, and its identity, which is all that its bits depend on."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ddpm_core.device import (
    Order,
    Precision,
    describe,
    dtype_of,
    laid_out,
    make_repeatable,
    pick_device,
    pick_precision,
    seed_network,
)
from ddpm_core.errors import ParamsError
from ddpm_core.files import sha256_file
from ddpm_core.models import ModelConfig
from ddpm_core.objectives.base import Objective
from ddpm_core.objectives.batch import Batch, LabelDropout, Share
from ddpm_core.objectives.config import ObjectiveConfig
from ddpm_core.objectives.distillation_config import DistillationConfig
from ddpm_core.spec import DataSpec
from ddpm_core.training.checkpoint import Checkpoints
from ddpm_core.training.compiled import compiler, is_compiled, operations
from ddpm_core.training.config import InitFrom, TrainConfig
from ddpm_core.training.distributed import Processes, on_this_machine
from ddpm_core.training.held_out import HeldOut
from ddpm_core.training.init_weights import begin_from
from ddpm_core.training.run_folders import RunFolders, ThreadsByStep, key_of
from ddpm_core.training.trainer import Trainer
from pipelines.paths import Paths
from pipelines.runtime.threads import Asked, in_use, is_users
from pipelines.shards.archive import Arrays, ShardIndex, joined, read_index, read_shard, rows_of
from pipelines.training import code_files
from pipelines.training.batches import batch_source, check_data, held_out_batches, spec_of_network
from pipelines.training.teacher import open_teacher

if TYPE_CHECKING:
    from pipelines.params import Params

_log = logging.getLogger(__name__)

# Keys of section train that change no bit of a training. `on_nonfinite` and `checkpoint_every` are among them unless
# the training rolls back (to a checkpoint) or compares its checkpoints on held-out data; so switching on_nonfinite from
# stop to skip keeps the same training.
_CHANGES_NO_BIT = ("sample_every", "keep_checkpoints", "keep_trainings", "nonfinite_limit", "compile")
_EXAMPLES = 1000  # training data by which `auto` in section model is resolved


@dataclass(frozen=True)
class TrainingSetup:
    """One process's parts of a training. `config` is section `train`, with changes if the caller wants any."""

    params: "Params"
    paths: Paths
    processes: Processes
    config: TrainConfig[Any]
    index: ShardIndex
    spec: DataSpec  # of the data, with the conditions that the network takes
    model_config: ModelConfig  # without `auto`
    identity: dict[str, Any]
    threads: int  # of this machine

    @classmethod
    def of(cls, params: "Params", paths: Paths, processes: Processes) -> "TrainingSetup":
        """Check the data and parameters, and set threads, precision and the order of sums."""
        config: TrainConfig[Any] = params.train
        check_parts(config, processes.count)
        device = pick_device(params.runtime.device)
        precision = pick_precision(config.precision, device)
        index = read_index(paths.shards)
        spec = spec_of_network(config.conditioning, index.spec)
        check_data(index, paths.shards, config)
        model_config = _resolved(params.model, index)
        model_config.check(spec)
        setup = cls(params, paths, processes, config, index, spec, model_config, {}, 0)
        compiled = model_config.compiles and is_compiled(config.compile, config.steps, device, setup._operations)
        identity = training_identity(
            params, spec.kind, index.digest, device, precision, processes.count, compiled, model=model_config
        )
        folders = RunFolders(paths.checkpoints, config.keep_trainings)
        threads = processes.from_first(lambda: threads_to_train_with(params.runtime.threads, folders.threads(identity)))
        make_repeatable(max(1, threads // on_this_machine()), precision, order_of(params))
        return replace(setup, identity=identity, threads=threads)

    @property
    def key(self) -> str:
        """The digest of the identity."""
        return key_of(self.identity)

    @property
    def device(self) -> torch.device:
        return pick_device(self.params.runtime.device)

    @property
    def precision(self) -> Precision:
        return cast(Precision, self.identity["precision"])

    @property
    def dtype(self) -> torch.dtype:
        """The type that the network computes in."""
        return dtype_of(self.precision)

    @property
    def computed(self) -> dict[str, Any]:
        """How the numbers were computed, for the metadata of the weights and the bundle."""
        return {name: self.identity[name] for name in ("device", "precision", "deterministic", "compiled")}

    @property
    def shown(self) -> int:
        """The number of training examples."""
        return self.index.count("train") - self.config.hold_out

    @property
    def objective_config(self) -> ObjectiveConfig:
        return self.params.diffusion

    def network(self) -> nn.Module:
        """The network with its initial weights: fresh, or from another training."""
        config = self.config
        seed_network(config.seed, 0)
        model = self._built()
        if (start := self._start()) is not None:
            begin_from(model, start, self.paths.root, self.spec)
        return laid_out(model, self.device)

    def objective(self) -> Objective:
        dropout = LabelDropout(self.spec.null, self.config.label_dropout) if self.spec.null else None
        config = self.objective_config
        if isinstance(config, DistillationConfig):
            teacher = laid_out(open_teacher(config, self.spec, self.paths.root), self.device)
            return config.build_taught(self.spec, teacher, self.dtype)
        return config.build(self.spec, dropout)

    def batches(self, start: int) -> Iterator[Batch]:
        """The endless stream from batch `start` on; of each batch the rows of this process."""
        share = Share(self.processes.number, self.processes.count)
        workers = self.params.runtime.workers
        return batch_source(self.config, self.paths.shards, self.spec, workers, share)(start)

    def trainer(self, checkpoints: Checkpoints | None, should_stop: Callable[[], bool]) -> Trainer:
        return Trainer(
            self.network(),
            self.objective(),
            self.config,
            self.batches,
            device=self.device,
            dtype=self.dtype,
            checkpoints=checkpoints,
            should_stop=should_stop,
            processes=self.processes,
            compiled=compiler(self.paths.compiled) if self.identity["compiled"] else None,
            held_out=self._held_out(),
        )

    def __str__(self) -> str:
        count, held = self.processes.count, self.config.hold_out
        words = [
            describe(self.device) + (f" by {count} processes" if count > 1 else ""),
            self.precision + (", compiled" if self.identity["compiled"] else ""),
            ", ".join(["with labels" if self.spec.classes else "without labels", *self.spec.attributes]),
            f"{self.shown} examples" + (f" and {held} held out" if held else ""),
            f"{self.config.steps} steps of {self.config.batch_size}",
        ]
        return ", ".join(words)

    def _start(self) -> InitFrom | None:
        """The weights to begin from; a student begins with its teacher's."""
        config = self.objective_config
        if self.config.init_from is None and isinstance(config, DistillationConfig):
            return InitFrom(config.teacher.path, config.teacher.sha256)
        return self.config.init_from

    def _built(self) -> nn.Module:
        return self.model_config.build(self.spec, self.objective_config.learned_variance)

    def _operations(self) -> float:
        return operations(self._built, next(self.batches(0)), self.config.batch_size)

    def _held_out(self) -> HeldOut | None:
        """The loss on held-out data."""
        if not self.config.hold_out:
            return None
        objective = self.objective_config.build_held_out(self.spec)
        batches = held_out_batches(self.config, self.paths.shards, self.spec)
        return HeldOut(objective, batches, self.config.seed, device=self.device, dtype=self.dtype)


def _resolved(config: ModelConfig, index: ShardIndex) -> ModelConfig:
    """Section `model` without `auto`; logs what `auto` gave."""
    found, why = config.resolved(index.spec, lambda: first_examples(index, _EXAMPLES)["x"])
    if why is not None:
        _log.info("%s", why)
    return found


def first_examples(index: ShardIndex, n: int) -> Arrays:
    """The first training data; shards mix the classes."""
    parts: list[Arrays] = []
    for shard in index.shards("train"):
        parts.append(read_shard(index, shard).arrays)
        if sum(len(part["x"]) for part in parts) >= n:
            break
    return rows_of(joined(parts, index.spec), slice(n))


def check_parts(config: TrainConfig[Any], processes: int) -> None:
    """Refuse a batch size that the processes cannot divide equally."""
    if config.batch_size % (processes * config.accumulate):
        raise ParamsError(
            f"train.batch_size: must be a multiple of processes times train.accumulate = {processes} x "
            f"{config.accumulate}, got {config.batch_size}; change it or the number of processes"
        )


def order_of(params: "Params") -> Order:
    """The order of sums in a training's kernels."""
    return "fixed" if params.runtime.deterministic else "any"


def training_identity(
    params: "Params",
    kind: str,
    data_digest: str,
    device: torch.device,
    precision: Precision,
    processes: int,
    compiled: bool,
    model: ModelConfig | None = None,
) -> dict[str, Any]:
    """All that the bits of a training depend on; its digest names the directory of the checkpoints.

    `model` is section `model` without `auto`.
    """
    rolls_back = params.train.on_nonfinite == "roll_back"
    ignored = {
        *_CHANGES_NO_BIT,
        *(() if rolls_back else ("on_nonfinite",)),
        *(() if rolls_back or params.train.hold_out else ("checkpoint_every",)),
    }
    train = {name: value for name, value in asdict(params.train).items() if name not in ignored}
    return {
        "model": asdict(params.model if model is None else model),
        "diffusion": asdict(params.diffusion),
        "train": train,
        "data": data_digest,
        **code_identity(kind, student=params.diffusion.kind == "distillation"),
        "processes": processes,
        "device": device.type,
        "precision": precision,
        "deterministic": device.type == "cpu" or params.runtime.deterministic,
        "compiled": compiled,
    }


def threads_to_train_with(asked: Asked, before: ThreadsByStep) -> int:
    """The number of threads: a resumed training keeps its number, unless OMP_NUM_THREADS sets another.

    The bits depend on it, so a training that keeps it ends with the same bytes as one that was not interrupted.
    """
    now = in_use(asked)
    if not before or before[-1][1] == now:
        return now
    had = before[-1][1]
    if is_users():
        _log.warning(
            "this training had %d threads so far and continues with %d, as OMP_NUM_THREADS says: its last bits will "
            "differ from a run with either number; its outputs record both",
            had,
            now,
        )
        return now
    _log.info(
        "threads: %d, the number this training began with, so that its bytes stay the same (otherwise it would be %d; "
        "set OMP_NUM_THREADS to use another number)",
        had,
        now,
    )
    return had


def code_identity(kind: str, root: Path | None = None, *, student: bool = False) -> dict[str, Any]:
    """Digests of our files and versions of libraries that can change a bit of a training."""
    root = root or code_files.installed_root()
    found = code_files.of_training(kind, root, student=student)
    libraries = {name: version(name) for name in found.libraries}
    return {
        "code": {name: sha256_file(root / name) for name in found.files},
        "libraries": {**libraries, "torch": torch.__version__},  # which names the build too
    }
