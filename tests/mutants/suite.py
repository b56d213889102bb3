"""Which quick tests a module's faults are shown to: first its own, then those of its room."""

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The fast maths suite (docs/maths.md): `make test-maths` runs it, in at most 20 seconds of one core.
MATHS = (
    "tests/ddpm_core/diffusion",
    "tests/ddpm_core/samplers",
    "tests/ddpm_core/metrics",
    "tests/ddpm_core/likelihood/test_bound.py",
    "tests/ddpm_core/likelihood/test_terms.py",
    "tests/ddpm_core/objectives/test_diffusion.py",
    "tests/ddpm_core/likelihood/test_ode.py",
    "tests/ddpm_core/tensors/test_process.py",
)

# The tests of a room; of these names the longest that a file begins with. The rooms above the library have no suite
# that is quick enough: there a module's own tests are all.
ROOMS = {
    "ddpm_core/": MATHS,
    "ddpm_core/models/": ("tests/ddpm_core/models",),
    "ddpm_core/training/": ("tests/ddpm_core/training",),
    "ddpm_core/bundle/format.py": (
        "tests/pipelines/sampling/test_bundle_sampler.py",
        "tests/pipelines/sampling/test_bundle_sampler_refusals.py",
    ),
    "pipelines/": (),
}

# A module's own tests, where they do not bear its name.
OWN = {
    "ddpm_core/diffusion/arrays.py": ("tests/ddpm_core/diffusion/test_guidance_and_bounds.py",),
    "ddpm_core/diffusion/bounds.py": ("tests/ddpm_core/diffusion/test_guidance_and_bounds.py",),
    "ddpm_core/diffusion/guidance.py": ("tests/ddpm_core/diffusion/test_guidance_and_bounds.py",),
    "ddpm_core/diffusion/schedule.py": ("tests/ddpm_core/diffusion/test_schedules.py",),
    "ddpm_core/diffusion/plan.py": ("tests/ddpm_core/samplers/test_conformance.py",),
    "ddpm_core/metrics/coverage.py": ("tests/ddpm_core/metrics/test_coverage_and_pixels.py",),
    "ddpm_core/gate/rules.py": (
        "tests/ddpm_core/gate/test_rules.py",
        "tests/ddpm_core/gate/test_series_rules.py",
        "tests/ddpm_core/gate/test_verdict.py",
    ),
    "ddpm_core/metrics/pixels.py": ("tests/ddpm_core/metrics/test_coverage_and_pixels.py",),
    "ddpm_core/likelihood/terms.py": (
        "tests/ddpm_core/likelihood/test_terms.py",
        "tests/ddpm_core/objectives/test_elbo.py",
    ),
    **dict.fromkeys(
        ("ddpm_core/models/layers.py", "ddpm_core/models/time_label.py"),
        (
            "tests/ddpm_core/models/test_layers.py",
            "tests/ddpm_core/models/test_unet.py",
            "tests/ddpm_core/models/test_conformance.py",
        ),
    ),
    "ddpm_core/objectives/elbo.py": (
        "tests/ddpm_core/objectives/test_elbo.py",
        "tests/ddpm_core/objectives/test_conformance.py",
    ),
    "ddpm_core/objectives/base.py": ("tests/ddpm_core/objectives/test_diffusion.py",),
    "ddpm_core/objectives/batch.py": ("tests/ddpm_core/objectives/test_diffusion.py",),
    "ddpm_core/samplers/inversion.py": ("tests/ddpm_core/diffusion/test_editing.py",),
    "ddpm_core/training/ema.py": ("tests/ddpm_core/training/test_parts.py",),
    "ddpm_core/training/lr.py": ("tests/ddpm_core/training/test_parts.py",),
    "ddpm_core/training/state.py": ("tests/ddpm_core/training/test_trainer.py",),
    "ddpm_core/training/trainer.py": (
        "tests/ddpm_core/training/test_steps.py",
        "tests/ddpm_core/training/test_trainer.py",
    ),
    "pipelines/serving/base/labels.py": ("tests/pipelines/serving/test_labels_and_outputs.py",),
    "pipelines/kinds/pictures/serving/outputs.py": ("tests/pipelines/serving/test_labels_and_outputs.py",),
    "pipelines/serving/base/request.py": ("tests/pipelines/serving/test_app.py",),
    "pipelines/kinds/pictures/rows/rules.py": (
        "tests/pipelines/kinds/pictures/rows/test_rules.py",
        "tests/pipelines/kinds/pictures/sources/test_image_folder.py",
        "tests/pipelines/kinds/pictures/sources/test_zips.py",
    ),
    "pipelines/runtime/signals.py": ("tests/pipelines/runtime/test_lifetime.py",),
    "pipelines/stages/evaluate.py": ("tests/pipelines/stages/test_evaluate_report_gate.py",),
    "pipelines/stages/gate.py": ("tests/pipelines/stages/test_evaluate_report_gate.py",),
    "pipelines/tracking/mlflow_registry.py": ("tests/pipelines/release/test_promotion.py",),
    "pipelines/tracking/mlflow_store.py": (
        "tests/pipelines/tracking/test_tracker.py",
        "tests/pipelines/tracking/test_which_store.py",
    ),
    "pipelines/tracking/stage_records.py": ("tests/pipelines/tracking/test_tracker.py",),
    "pipelines/evaluation/reference.py": ("tests/pipelines/stages/test_reference.py",),
    "pipelines/kinds/pictures/evaluation/measure.py": ("tests/pipelines/stages/test_evaluate_report_gate.py",),
    "pipelines/tracking/run_params.py": ("tests/pipelines/versioning/test_dvc_lock.py",),
    "pipelines/shards/index.py": ("tests/pipelines/shards/test_archive.py",),
    "pipelines/shards/order.py": ("tests/pipelines/shards/test_stream.py",),
}


def rings(file: str, named: Sequence[str]) -> list[tuple[str, ...]]:
    """Sets of tests to run one after another until one fails: those named for this very fault come first."""
    return [ring for ring in (tuple(named), own_tests(file), room_tests(file)) if ring]


def own_tests(file: str) -> tuple[str, ...]:
    """The file of tests that bears its name; the samplers, each a few lines, share theirs."""
    if file in OWN:
        return OWN[file]
    path = Path(file)
    folder = Path("tests") / path.parent
    mirror = folder / f"test_{path.stem}.py"
    if (ROOT / mirror).is_file():
        return (mirror.as_posix(),)
    return (folder.as_posix(),) if file.startswith("ddpm_core/samplers/") else ()


def room_tests(file: str) -> tuple[str, ...]:
    return ROOMS[max((room for room in ROOMS if file.startswith(room)), key=len)]


if __name__ == "__main__":
    sys.stdout.write(" ".join(MATHS) + "\n")
