"""The int8 variant of a bundle as a bundle of its own, with what was done to it in its provenance."""

import logging
from dataclasses import replace
from typing import Any

from ddpm_core.bundle.format import Bundle
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.onnxruntimes import installed_onnxruntimes
from pipelines.shards.archive import Split
from pipelines.variants.int8 import Quantised, int8_within
from pipelines.variants.probes import Probe, probes_of

log = logging.getLogger(__name__)

INT8 = "int8"


def int8_bundle(bundle: Bundle, data: Split, *, calibrated: int, compared: int, limit: float) -> tuple[Bundle, float]:
    """The bundle with its network in int8, and its largest error at any level.

    Calibrated on the first `calibrated` data at each level of the bundle's own plan; the error is taken on the
    `compared` data after them. The golden sample is made anew, by the variant.
    """
    sampler = Sampler(bundle, "cpu", 1)
    recipe = sampler.recipe()
    calibration = probes_of(bundle, recipe, data, calibrated)
    probes = probes_of(bundle, recipe, data, compared, first=calibrated)
    log.info("int8: calibrating on %d data at %d levels", calibrated, len(calibration))
    made = int8_within(bundle.model, calibration, probes, limit)
    about = _about(bundle, made, probes, calibrated, limit)
    draft = replace(bundle, model=made.model, golden=None, provenance={**bundle.provenance, "variant": about})
    golden = bundle.golden
    if golden is not None:
        again = Sampler(draft, "cpu", 1).make_golden(int(golden.sampler["steps"]), golden.tolerance)
        draft = replace(draft, golden=again)
    return draft, max(made.errors)


def _about(bundle: Bundle, made: Quantised, probes: list[Probe], calibrated: int, limit: float) -> dict[str, Any]:
    return {
        "name": INT8,
        "of": bundle.digest,
        "runtime": _runtime(),
        "precision": "int8 weights per channel and uint8 activations, QDQ; float32 elsewhere",
        "calibrated": calibrated,
        "kept_fp32": list(made.kept),
        "quantised": len(made.quantised),
        "parity": {
            "limit": limit,
            "levels": [probe.level for probe in probes],
            "rms_of_x0_hat": [round(error, 6) for error in made.errors],
        },
    }


def _runtime() -> str:
    return next((f"{name} {version}" for name, version in installed_onnxruntimes().items()), "onnxruntime")
