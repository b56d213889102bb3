"""Stage export: turn the weights into a bundle, ONNX and bundle.json, and show that it answers as torch does."""

import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import ddpm_core
from ddpm_core.bundle.export import PARITY_BATCHES, assert_parity, export_onnx
from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.bundle.format import Bundle
from ddpm_core.files import json_bytes, sha256_bytes, sha256_file
from ddpm_core.models import ModelConfig
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, graphs_of, procedure_of
from pipelines.parsing import parse_kept
from pipelines.paths import Paths
from pipelines.runtime.threads import in_use
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.onnx_denoiser import Net, OnnxDenoiser
from pipelines.sampling.onnxruntimes import installed_onnxruntimes
from pipelines.training.weights_file import best_step, read_weights

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
        "train_steps": best_step(about) if config.weights == "best" else about["steps"],
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
