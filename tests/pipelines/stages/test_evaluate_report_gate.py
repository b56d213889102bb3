"""Stages evaluate, report and gate on one small project, with a real bundle and the real sampler."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError, GateFailed, IntegrityError
from pipelines.evaluation.authenticity import FILES, OWN
from pipelines.gate.record import read_measurement
from pipelines.paths import Paths
from pipelines.shards.archive import read_split
from pipelines.stages import evaluate, gate, reference, report
from pipelines.tracking.tracker import NullTracker
from tests.support.measured import (
    EVALUATE,
    GATE,
    REFERENCE,
    RUNTIME,
    MeasuredParams,
    files_of,
    measured_project,
    read,
)
from tests.support.tiny_bundle import exported_bundle


class PerfectSampler:
    """Gives new pictures of the asked labels, as good as real ones, through the real sampler's interface."""

    copies = 0

    def __init__(self, real: Any, paths: Paths) -> None:
        self._real, self._paths = real, paths
        self.bundle, self.device, self.threads, self.recipe = real.bundle, real.device, real.threads, real.recipe
        self.golden_difference, self.network = real.golden_difference, real.network

    def sample(self, recipe: Any, seeds: list[int], cond: dict[str, Any], **options: Any) -> np.ndarray:
        from tests.support.measured import pictures

        if "watch" in options:
            return self._real.sample(recipe, seeds, cond, **options)
        asked = np.asarray(cond["label"]) if cond else np.array(seeds) % 3
        images = pictures(asked, 77)
        images[: self.copies] = read_split(self._paths.shards, "train").x[: self.copies]
        return images


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch) -> type[PerfectSampler]:
    real_open = evaluate.Sampler.open

    class Opened(PerfectSampler):
        @classmethod
        def open(cls, bundle: Path, **options: Any) -> "PerfectSampler":
            return cls(real_open(bundle, **options), Paths(bundle.parent.parent, bundle.parent))

    monkeypatch.setattr(evaluate, "Sampler", Opened)
    return Opened


def test_evaluation_of_the_bundle_repeats_to_the_byte(bad: Paths):
    before = [bad.metrics.read_bytes(), bad.record.read_bytes(), files_of(bad.samples)]
    evaluate.run(MeasuredParams(), bad, NullTracker())
    assert [bad.metrics.read_bytes(), bad.record.read_bytes(), files_of(bad.samples)] == before


def test_the_number_of_processes_that_sample_changes_no_byte(bad: Paths, tmp_path: Path):
    params: Any = MeasuredParams(runtime=replace(RUNTIME, sampling_processes=3))
    evaluate.measure_bundle(params, bad, bad.bundle, tmp_path)
    assert (tmp_path / "metrics.json").read_bytes() == bad.metrics.read_bytes()
    assert (tmp_path / "record.json").read_bytes() == bad.record.read_bytes()
    assert files_of(tmp_path / "samples") == files_of(bad.samples)


def test_a_measurement_by_torch_says_so_and_is_not_compared_with_one_by_onnxruntime(ready: Paths, tmp_path: Path):
    exported_bundle(tmp_path / "b")
    found = {}
    for engine in ("onnxruntime", "torch"):
        params: Any = MeasuredParams(evaluate=replace(EVALUATE, engine=engine))
        evaluate.measure_bundle(params, ready, tmp_path / "b", tmp_path / engine, panels=False)
        found[engine] = read_measurement(tmp_path / engine / "metrics.json", tmp_path / engine / "record.json")
    assert found["torch"].differs_from(found["onnxruntime"]) == {"settings.engine": ("torch", "onnxruntime")}
    bits = [one.metrics["bits_per_dim"] for one in found.values()]
    assert bits[0] == pytest.approx(bits[1], rel=1e-4)


def test_metrics_are_flat_numbers_beside_their_floors(bad: Paths):
    metrics = read(bad.metrics)
    assert all(isinstance(value, float) for value in metrics.values())
    for name in ("fcd_train", "fcd_floor_train", "fcd_ratio_test", "kcd", "cis", "cis_real", "accuracy_class_min",
                 "bits_per_dim", "bits_per_dim_error", "near_share_heldout",
                 "fcd_coverage_class_min", "saturated_share"):  # fmt: skip
        assert name in metrics
    assert not {"fid_train", "is", "kid"} & metrics.keys()


def test_every_gross_control_has_a_distance_but_copies_of_which_no_distance_tells(bad: Paths):
    """Else `gate.max_distance_ratio`, which counts where every gross fault exceeds it, would count nowhere."""
    controls = read(bad.record)["controls"]
    assert "copies" in controls
    gross = {name: control["metrics"] for name, control in controls.items() if control["gross"]}
    assert {name for name, numbers in gross.items() if "fcd_ratio_test" not in numbers} == {"copies"}


def test_the_record_says_how_it_was_measured_and_of_what(bad: Paths):
    record = read(bad.record)
    conditions, provenance = record["conditions"], record["provenance"]
    assert conditions["distances"] == ["fcd"]
    assert conditions["judges"] == ["classifier", "efficientnet_lite0"]
    assert conditions["sampler"]["kind"] == "ddim"
    assert conditions["extractors"][0]["sha256"] == read(bad.reference / "reference.json")["extractors"][0]["sha256"]
    assert len(provenance["bundle"]) == 64
    assert str(bad.root) not in bad.record.read_text()


def test_a_limit_on_the_samples_of_test_holds_and_is_recorded(bad: Paths, tmp_path: Path, caplog: Any):
    params: Any = MeasuredParams(evaluate=replace(EVALUATE, n_most=40))
    evaluate.measure_bundle(params, bad, bad.bundle, tmp_path, panels=False)
    assert read(tmp_path / "metrics.json")["n"] == 40
    asked = {"asked": "test", "unseen": 90, "most": 40, "made": 40}
    assert read(tmp_path / "record.json")["provenance"]["samples"] == asked
    assert any("evaluate.n_most limits them to 40" in record.getMessage() for record in caplog.records)
    assert "n_most" not in read(tmp_path / "record.json")["conditions"]["settings"]  # `n` itself is what must be equal


def test_samples_are_kept_with_labels_and_seeds(bad: Paths):
    kept = np.load(bad.samples / "images.npz")
    assert kept["images"].shape == (90, 1, 8, 8)
    assert kept["images"].dtype == np.uint8
    assert np.bincount(kept["labels"]).tolist() == [30, 30, 30]
    assert kept["seeds"].tolist() == list(range(90))


def without_files(record: Path) -> dict[str, Any]:
    """A record without the digests of the files beside it."""
    return {key: value for key, value in read(record).items() if key not in (FILES, OWN)}


@pytest.mark.usefixtures("undrawn")
def test_panels_may_be_switched_off_and_change_no_measurement(bad: Paths, tmp_path: Path):
    evaluate.measure_bundle(MeasuredParams(), bad, bad.bundle, tmp_path, panels=False)
    assert without_files(tmp_path / "record.json") == without_files(bad.record)
    assert (tmp_path / "metrics.json").read_bytes() == bad.metrics.read_bytes()
    off = MeasuredParams(evaluate=replace(EVALUATE, panels=replace(EVALUATE.panels, steps=(), trajectories=0)))
    evaluate.run(off, bad, NullTracker())
    assert without_files(bad.record) == without_files(tmp_path / "record.json")
    report.run(off, bad, NullTracker())
    page = (bad.report / "index.html").read_text()
    assert "Fewer and more steps" not in page
    assert "From noise to picture" not in page


@pytest.mark.usefixtures("undrawn")
def test_a_good_model_passes(ready: Paths, perfect: type[PerfectSampler], caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    evaluate.run(MeasuredParams(), ready, NullTracker())
    gate.run(MeasuredParams(), ready, NullTracker())
    assert read(ready.gate)["outcome"] == "pass"
    assert "verdict: PASS" in caplog.text
    report.run(MeasuredParams(), ready, NullTracker())
    assert "gate: pass" in (ready.report / "index.html").read_text()


def test_planted_copies_fail_the_gate(ready: Paths, perfect: type[PerfectSampler]):
    perfect.copies = 9
    evaluate.run(MeasuredParams(), ready, NullTracker())
    with pytest.raises(
        GateFailed, match=r"near copies: fail: 1[0-9].*% of the samples are nearer to a training example"
    ):
        gate.run(MeasuredParams(), ready, NullTracker())


def test_the_unseen_pictures_themselves_are_called_copied_as_often_as_they_are(
    ready: Paths, perfect: type[PerfectSampler], monkeypatch: pytest.MonkeyPatch
):
    """Samples and unseen pictures are compared with the training pictures in one way, shifts and all."""
    unseen = read_split(ready.shards, "test").x
    monkeypatch.setattr(perfect, "sample", lambda self, recipe, seeds, cond, **options: unseen[np.asarray(seeds)])
    params = MeasuredParams(evaluate=replace(EVALUATE, copy_quantile=0.1, copy_shift=2, seed=0))
    evaluate.measure_bundle(params, ready, ready.bundle, ready.home / "unseen", panels=False)
    metrics = read(ready.home / "unseen" / "metrics.json")
    assert metrics["near_share_heldout"] > 0
    for kind in ("near", "lone"):
        assert metrics[f"{kind}_share"] == metrics[f"{kind}_share_heldout"]


@pytest.mark.usefixtures("undrawn")
def test_measures_that_take_more_samples_are_left_out_with_a_reason(ready: Paths, perfect: type[PerfectSampler]):
    few = replace(EVALUATE, n=10, kid_subset_size=500, is_splits=40)
    evaluate.run(MeasuredParams(evaluate=few), ready, NullTracker())
    metrics, left_out = read(ready.metrics), read(ready.record)["conditions"]["not_measured"]
    assert not {"kcd", "cis"} & metrics.keys()
    assert left_out["kcd"] == (
        "it takes evaluate.kid_subset_size = 500 samples and as many unseen real images, there are 10"
    )
    assert left_out["cis"] == "it takes evaluate.is_splits = 40 samples, there are 10"
    report.run(MeasuredParams(), ready, NullTracker())
    assert "kcd was not measured" in (ready.report / "index.html").read_text()
    with pytest.raises(
        GateFailed, match=r"samples: not enough evidence: 10 samples and 90 unseen.*min_samples asks for 20"
    ):
        gate.run(MeasuredParams(), ready, NullTracker())


@pytest.mark.usefixtures("undrawn")
def test_without_labels_the_label_rule_does_not_apply_and_the_rest_holds(tmp_path: Path, perfect: type[PerfectSampler]):
    paths = measured_project(tmp_path, labelled_data=False, train=60, test=30)
    # So few pictures tell little of regions, and of faults.
    lax = replace(GATE, max_lost=0.5, max_unseen_controls=9)
    params = MeasuredParams(evaluate=replace(EVALUATE, kid_subset_size=20), gate=lax)
    reference.run(params, paths, NullTracker())
    evaluate.run(params, paths, NullTracker())
    report.run(params, paths, NullTracker())
    metrics = read(paths.metrics)
    assert "accuracy_asked" not in metrics
    assert "fd_efficientnet_lite0_ratio_train" in metrics
    gate.run(params, paths, NullTracker())
    rules = {rule["rule"]: rule["outcome"] for rule in read(paths.gate)["rules"]}
    assert rules["asked label"] == "not applicable"
    assert rules["energy in efficientnet_lite0"] == "pass"


def test_a_reference_about_other_data_is_refused(ready: Paths, tmp_path: Path):
    other = measured_project(tmp_path, train=30, test=20)
    other.reference.symlink_to(ready.reference)
    with pytest.raises(
        IntegrityError, match=r"out/reference must be about the data in data/shards.*run `ddpm reference`"
    ):
        evaluate.run(MeasuredParams(), other, NullTracker())


def test_a_changed_threshold_changes_the_verdict_and_nothing_else(bad: Paths):
    lax = replace(
        GATE, max_energy=9.0, max_lost=1.0, max_unseen_controls=99, max_rough=1.0, max_accuracy_loss=None,
        max_copy_excess=1.0, max_broken_excess=1.0,
    )  # fmt: skip
    gate.run(MeasuredParams(gate=lax), bad, NullTracker())
    assert read(bad.gate)["outcome"] == "pass"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there must be a measurement to judge; run `ddpm evaluate` first"),
        ("{", "must be JSON, but .*; run `ddpm evaluate` again"),
        ("[]", "must be a JSON object, got list; run `ddpm evaluate` again"),
    ],
)
def test_a_measurement_that_cannot_be_read_is_told(tmp_path: Path, content: str | None, message: str):
    paths = Paths(tmp_path, tmp_path / "home")
    if content is not None:
        paths.metrics.parent.mkdir()
        paths.metrics.write_text(content)
    with pytest.raises(DataError, match=message):
        gate.run(MeasuredParams(), paths, NullTracker())


def test_a_picture_missing_from_the_samples_is_told(bad: Paths):
    (bad.samples / "real.png").unlink()
    with pytest.raises(
        IntegrityError, match=r"samples/real\.png: must be there, for .*record\.json names the files.*run `ddpm run`"
    ):
        report.run(MeasuredParams(), bad, NullTracker())


def test_every_interval_that_has_replicates_follows_from_them(bad: Paths):
    metrics, record = read(bad.metrics), read(bad.record)
    ends = {f"{name}{end}" for name in record["replicates"] for end in ("_low", "_high", "_detectable")}
    assert ends & metrics.keys() <= record["follows"].keys()
    assert {"accuracy_asked_low", "near_share_high", "accuracy_class_min"} <= record["follows"].keys()


@pytest.mark.parametrize("stage", [report, gate])
def test_numbers_that_stage_evaluate_did_not_write_are_judged_by_no_stage(bad: Paths, stage: Any):
    forged = {name: value / 500 for name, value in read(bad.metrics).items()}
    bad.metrics.write_text(json.dumps(forged))
    with pytest.raises(IntegrityError, match=r"out/metrics\.json: must have SHA-256 .*record\.json.*`ddpm run`"):
        stage.run(MeasuredParams(), bad, NullTracker())


def test_the_classifier_of_the_reference_is_the_one_that_calls_labels(ready: Paths, perfect: type[PerfectSampler]):
    evaluate.run(MeasuredParams(), ready, NullTracker())
    metrics = read(ready.metrics)
    assert metrics["accuracy_asked"] >= REFERENCE.classifier.min_accuracy
    assert metrics["accuracy_heldout"] == pytest.approx(
        read(ready.reference / "reference.json")["classifier"]["accuracy"]
    )


def test_bits_of_unseen_pictures_may_be_left_out(ready: Paths, perfect: type[PerfectSampler]):
    evaluate.run(MeasuredParams(evaluate=replace(EVALUATE, bits_images=0)), ready, NullTracker())
    assert "bits_per_dim" not in read(ready.metrics)
    assert read(ready.record)["conditions"]["not_measured"]["bits_per_dim"] == "evaluate.bits_images is 0"
