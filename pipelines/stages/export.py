"""Stage export: turn the weights into a bundle, ONNX and bundle.json, and show that it answers as torch does."""

import json
import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import ddpm_core
from ddpm_core.bundle.export import PARITY_BATCHES, assert_parity, export_onnx
from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.bundle.format import Bundle
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import json_bytes, sha256_bytes, sha256_file
from ddpm_core.models import ModelConfig
from ddpm_core.objectives.config import ObjectiveConfig
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, graphs_of, procedure_of
from ddpm_core.spec import DataSpec
from ddpm_core.training.ema import average_of
from pipelines.parsing import parse_kept
from pipelines.paths import Paths
from pipelines.runtime.threads import in_use
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.onnx_denoiser import Net, OnnxDenoiser
from pipelines.sampling.onnxruntimes import installed_onnxruntimes

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)

_PACKAGES = ("ddpm-pipeline", "torch", "onnx", "onnxscript", "numpy")
_CODE = ("bundle", "diffusion", "models", "objectives", "procedure.py", "samplers", "spec.py", "tensors")


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Read out/weights.safetensors; write out/bundle."""
    threads = in_use(params.runtime.threads)
    torch.set_num_threads(threads)
    log.info("exporting %s to ONNX", paths.weights.name)
    bundle = export_weights(paths.weights, paths.bundle, params.export, asdict(params.sample), threads)
    size = sum(map(len, bundle.contents.values()))
    log.info("bundle %s: %s bytes of ONNX in %s", bundle.digest[:16], f"{size:,}", paths.bundle)


def export_weights(
    weights: Path, folder: Path, config: ExportConfig, sample: Mapping[str, Any], threads: int
) -> Bundle:
    """The bundle of a weights file: graph, proof of parity, golden sample, all written at once."""
    whole, about, spec, diffusion = read_weights(weights, config.ema, best=config.weights == "best")
    network: ModelConfig = parse_kept(ModelConfig, about["model"], f"{weights.name}: model")
    net = network.exported(whole)
    procedure = procedure_of(net)
    graphs = graphs_of(spec, procedure, diffusion.learned_variance)
    contents = {file: export_onnx(net, spec, opset=config.opset, graph=graph) for file, graph in graphs.items()}
    parameterisation = diffusion.parameterisation()
    schedule = parameterisation.schedule
    draft = Bundle(
        spec=spec,
        schedule=schedule,
        target=diffusion.target,
        variance=diffusion.variance,
        sample=sample,
        golden=None,
        provenance=_provenance(weights, about, config, sample),
        model=contents.pop(MODEL_FILE),
        procedure=procedure,
        others=contents,
        student=diffusion.student(),
    )
    started = OnnxDenoiser(draft, "cpu", threads)
    runs: dict[str, Net | None] = {MODEL_FILE: started, ENCODER_FILE: started.encoder}
    top_time, tolerance = float(schedule.time[-1]), config.parity_tolerance
    difference = max(
        assert_parity(net, run, spec, top_time=top_time, tolerance=tolerance, graph=graphs[file])
        for file, run in runs.items()
        if run is not None
    )
    log.info("onnxruntime answers as torch does, to %.1e, at batches of %s", difference, PARITY_BATCHES)
    # The golden sample is made as a reader will make it, on one thread of the CPU.
    golden = Sampler(draft, "cpu", 1).make_golden(min(config.golden_steps, schedule.T), config.golden_tolerance)
    bundle = replace(draft, golden=golden)
    bundle.write(folder)
    return bundle


def read_weights(
    weights: Path, ema: float | None = None, *, best: bool = False
) -> tuple[nn.Module, dict[str, Any], DataSpec, ObjectiveConfig]:
    """The network of a weights file with one of its averages, on the CPU, and what the file says about itself."""
    from safetensors import SafetensorError, safe_open

    mend = "make it again with `ddpm train`, or restore it with `dvc checkout out/weights.safetensors`"
    if not weights.is_file():
        raise IntegrityError(f"{weights}: there must be the weights of a training, got no file; {mend}")
    try:
        with safe_open(weights, framework="pt", device="cpu") as file:
            about = json.loads((file.metadata() or {})["ddpm"])
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
        net.load_state_dict(average_of(tensors, _decay(ema, about), best=best and _best_step(about) != about["steps"]))
    except RuntimeError as error:
        raise IntegrityError(f"{weights}: must hold the weights of its own network, but {error}; {mend}") from error
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
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


def _best_step(about: Mapping[str, Any]) -> int:
    """The step whose averages were best on data held out."""
    if "best" not in about:
        raise ParamsError(
            "export.weights: best needs a training that held data out, but this one judged no step; set it to last, or "
            "train again with train.hold_out above 0"
        )
    return int(about["best"]["step"])


def _provenance(
    weights: Path, about: Mapping[str, Any], config: ExportConfig, sample: Mapping[str, Any]
) -> dict[str, Any]:
    """Where the model came from, in digests and versions: the same for the same work, wherever and whenever done."""
    core = Path(ddpm_core.__file__).parent
    files = sorted(
        file for name in _CODE for file in ([core / name] if name.endswith(".py") else (core / name).rglob("*.py"))
    )
    return {
        "weights_sha256": sha256_file(weights),
        "data_digest": about["data_digest"],
        "train_digest": about["train_digest"],
        "train_threads": about.get("threads"),
        "train_computed": about.get("computed"),
        "train_steps": _best_step(about) if config.weights == "best" else about["steps"],
        "model": about["model"],
        **({"imported": about["imported"]} if "imported" in about else {}),
        "params_digest": sha256_bytes(
            json_bytes(
                {
                    "model": about["model"],
                    "diffusion": about["diffusion"],
                    "export": asdict(config),
                    "sample": dict(sample),
                }
            )
        ),
        "code_digest": sha256_bytes(
            json_bytes({file.relative_to(core).as_posix(): sha256_file(file) for file in files})
        ),
        "parity": {"tolerance": config.parity_tolerance, "batches": list(PARITY_BATCHES), "passed": True},
        "opset": config.opset,
        "versions": {**_versions(), "python": ".".join(platform.python_version_tuple()[:2])},
    }


def _versions() -> dict[str, str]:
    return {**{name: version(name) for name in _PACKAGES}, **installed_onnxruntimes()}
