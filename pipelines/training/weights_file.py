"""The weights file of a training: what it holds, what it says of itself, and the network that is read from it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import DataError, IntegrityError, ParamsError
from ddpm_core.models import ModelConfig
from ddpm_core.objectives.config import ObjectiveConfig
from ddpm_core.spec import DataSpec
from ddpm_core.training.weights_header import KEY, about_in
from pipelines.parsing import parse_kept

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ddpm_core.training.run_folders import ThreadsByStep
    from ddpm_core.training.trainer import Trainer
    from pipelines.training.setup import TrainingSetup

HELD_OUT = "held_out_loss"

# ------------------------------------------------------------------------------------------------------ what it says


def about_training(setup: "TrainingSetup", threads: "ThreadsByStep") -> dict[str, Any]:
    """What the weights of a training say about themselves."""
    return {
        "spec": setup.spec.to_dict(),
        "model": asdict(setup.model_config),
        "diffusion": asdict(setup.objective_config),
        "train_digest": setup.key,
        "data_digest": setup.index.digest,
        "steps": setup.config.steps,
        "threads": threads,
        "computed": setup.computed,
        "averages": [setup.config.ema_decay, *setup.config.ema_more],
    }


def about_best(trainer: "Trainer") -> dict[str, Any]:
    """The step with the lowest loss on held-out data, and that loss; empty without held-out data."""
    if trainer.best is None or trainer.best.step is None:
        return {}
    return {"best": {"step": trainer.best.step, HELD_OUT: trainer.best.losses[trainer.best.step]}}


def read_about(path: Path) -> dict[str, Any]:
    """What a weights file says about itself, read from its header alone."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= path.stat().st_size - 8:
            raise DataError(f"{path}: must be a safetensors file, got other content; run `ddpm train` again")
        return about_in(file.read(size))


# ----------------------------------------------------------------------------------------------------- what it holds


def tensors_of(trainer: "Trainer") -> dict[str, "Tensor"]:
    """The averages that ship, the further ones, and those of the best step if that is not the last one."""
    from ddpm_core.training.ema import BEST

    tensors = {**trainer.ema.model.state_dict(), **trainer.ema.further()}
    if trainer.best is None or trainer.best.step in (None, trainer.step):
        return tensors
    return tensors | {f"{BEST}{name}": tensor for name, tensor in trainer.best.tensors().items()}


def weights_bytes(tensors: Mapping[str, "Tensor"], about: Mapping[str, Any]) -> bytes:
    """The weights as a safetensors file with one metadata key (the order of several would be random)."""
    from safetensors.torch import save

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(whole, {KEY: json.dumps(about, sort_keys=True)})


def read_weights(
    weights: Path, ema: float | None = None, *, best: bool = False
) -> tuple["nn.Module", dict[str, Any], DataSpec, ObjectiveConfig]:
    """The network of a weights file with one of its averages, on the CPU, and what the file says about itself."""
    from safetensors import SafetensorError, safe_open

    from ddpm_core.training.ema import average_of

    mend = "make it again with `ddpm train`, or restore it with `dvc checkout out/weights.safetensors`"
    if not weights.is_file():
        raise IntegrityError(f"{weights}: there must be the weights of a training, got no file; {mend}")
    try:
        with safe_open(weights, framework="pt", device="cpu") as file:
            about = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        spec = DataSpec.from_dict(about["spec"])
        if not about.get("conditional", True):  # as it was when a label was the only condition there could be
            spec = spec.told(())
        model_content, diffusion_content = about["model"], about["diffusion"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{weights}: must be a safetensors file that `ddpm train` wrote, got one that does not read as such "
            f"({type(error).__name__}: {error}); {mend}"
        ) from error
    diffusion: ObjectiveConfig = parse_kept(ObjectiveConfig, diffusion_content, f"{weights.name}: diffusion")
    config: ModelConfig = parse_kept(ModelConfig, model_content, f"{weights.name}: model")
    net = config.build(spec, diffusion.learned_variance)
    try:
        net.load_state_dict(average_of(tensors, _decay(ema, about), best=best and best_step(about) != about["steps"]))
    except RuntimeError as error:
        raise IntegrityError(f"{weights}: must hold the weights of its own network, but {error}; {mend}") from error
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise IntegrityError(f"{weights}: every weight must be a finite number, {', '.join(bad[:5])} is not; {mend}")
    about |= {"model": asdict(config), "diffusion": asdict(diffusion)}
    return net.eval(), about, spec, diffusion


def _decay(ema: float | None, about: Mapping[str, Any]) -> float | None:
    """The decay among the further averages of a file, None for the one that ships there anyway."""
    first, *more = about.get("averages", [None])
    if ema is None or ema == first:
        return None
    if ema not in more:
        kept = ", ".join(str(decay) for decay in (first, *more) if decay is not None)
        raise ParamsError(
            f"export.ema: must be null or the decay of an average that was kept ({kept}), got {ema}; add it to "
            "train.ema_more and train again"
        )
    return ema


def best_step(about: Mapping[str, Any]) -> int:
    """The step whose averages were best on data held out."""
    if "best" not in about:
        raise ParamsError(
            "export.weights: best needs a training that held data out, but this one judged no step; set it to last, or "
            "train again with train.hold_out above 0"
        )
    return int(about["best"]["step"])
