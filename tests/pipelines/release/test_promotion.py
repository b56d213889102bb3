"""Promotion: the judged bundle alone, once, and never a worse one over a better."""

import dataclasses
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import DataError, IntegrityError, PromotionRefused, TrackingError
from ddpm_core.metrics.intervals import RESAMPLING
from pipelines.evaluation.authenticity import with_own_digest, write_measured
from pipelines.params import read_yaml
from pipelines.release.history import ROLLED_BACK, Event, events_of, note
from pipelines.release.promotion import Promotion, promote
from pipelines.tracking.mlflow_registry import Registry, Version
from pipelines.tracking.tracker import connect, open_tracker
from tests.support.described import described
from tests.support.project import write_yaml
from tests.support.tracked import GATE, GOOD, FewParams, judged_by, judged_project, lock_as_run, with_ends


def promoted(paths: Any, params: Any = None) -> Promotion:
    return promote(params or FewParams(), paths, open_tracker(True, paths.home))


def registry_of(home: Path) -> Registry:
    return Registry(connect(home), "tiny")


def number_of(home: Path, alias: str) -> int | None:
    holder = registry_of(home).holder(alias)
    return None if holder is None else holder.number


def versions(home: Path) -> int:
    return len(connect(home).client.search_model_versions("name = 'tiny'"))


def test_the_first_judged_bundle_becomes_champion_and_a_second_call_changes_nothing(home: Path, tmp_path: Path) -> None:
    paths, bundle = judged_project(tmp_path / "one", home)
    first = promoted(paths)
    assert (first.outcome, first.version, first.bundle) == ("promoted", 1, bundle.digest)
    assert "first champion" in str(first)
    second = promoted(paths)
    assert second.outcome == "unchanged"
    assert "nothing was changed" in str(second)
    assert versions(home) == 1
    champion = registry_of(home).holder("champion")
    assert champion is not None
    assert champion.bundle == bundle.digest
    assert champion.tags["verdict"] == "pass"
    run = connect(home).run_by_weights(champion.tags["weights"])
    assert run is not None
    assert run.data.tags["restored"] == "true"
    assert "loss" in run.data.metrics


def test_a_better_bundle_takes_over_and_the_one_before_is_kept(home: Path, tmp_path: Path) -> None:
    promoted(judged_project(tmp_path / "one", home)[0])
    second = promoted(judged_project(tmp_path / "two", home, seed=1, metrics={"energy_classifier": 0.045})[0])
    assert (second.outcome, second.version, second.previous) == ("promoted", 2, 1)
    assert "version 1, has the alias" in str(second)
    assert (number_of(home, "champion"), number_of(home, "previous")) == (2, 1)


def test_a_worse_bundle_is_kept_as_challenger_and_refused(home: Path, tmp_path: Path) -> None:
    promoted(judged_project(tmp_path / "one", home)[0])
    worse, _ = judged_project(tmp_path / "two", home, seed=1, metrics={"energy_classifier": 0.08})
    for _ in range(2):
        with pytest.raises(
            PromotionRefused, match=r"no worse than the champion(.|\n)*energy in classifier: fail: 0.08"
        ):
            promoted(worse)
    assert (number_of(home, "champion"), number_of(home, "challenger"), versions(home)) == (1, 2, 2)


def test_a_bundle_that_does_not_pass_todays_rules_is_refused(home: Path, tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    strict = FewParams(gate=dataclasses.replace(GATE, max_energy=0.035))
    with pytest.raises(
        PromotionRefused, match=r"by today's rules it does not \(fail\)(.|\n)*energy in classifier"
    ) as refused:
        promoted(paths, strict)
    assert refused.value.exit_code == 3


def test_that_the_gate_failed_is_no_file_to_mend(home: Path, tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    lock = read_yaml(paths.root / "dvc.lock")
    del lock["stages"]["gate"]  # DVC does not write down a stage that failed
    write_yaml(paths.root / "dvc.lock", lock)
    strict = FewParams(gate=dataclasses.replace(GATE, max_energy=0.035))
    with pytest.raises(PromotionRefused, match="by today's rules it does not") as refused:
        promoted(paths, strict)
    assert "must be those of the last run" not in str(refused.value)
    assert "ddpm run" not in str(refused.value)


def test_a_record_about_another_bundle_is_refused(home: Path, tmp_path: Path) -> None:
    """Though every digest, and dvc.lock too, was made to agree."""
    paths, bundle = judged_project(tmp_path / "one", home)
    record = json.loads(paths.record.read_text())
    record["provenance"]["bundle"] = "f" * 64
    paths.record.write_bytes(with_own_digest(record))
    lock_as_run(paths)
    with pytest.raises(IntegrityError, match=rf"bundle\.json: must be .* digest f{{64}}, .*got {bundle.digest}"):
        promoted(paths)


def test_a_damaged_bundle_is_refused(home: Path, tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    model = paths.bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\x00")
    with pytest.raises(PromotionRefused, match=r"model\.onnx: must have SHA-256 (.|\n)*out/bundle: must have md5"):
        promoted(paths)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "there must be a measurement"), ("{", "must be JSON"), ("[]", "must be a JSON object")]
)
def test_metrics_that_cannot_be_read_are_refused(home: Path, tmp_path: Path, text: str | None, said: str) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    paths.metrics.unlink() if text is None else paths.metrics.write_text(text)
    with pytest.raises(PromotionRefused, match=rf"{said}.*ddpm evaluate(.|\n)*out/metrics\.json: must have "):
        promoted(paths)


def test_promotion_needs_a_store(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    with pytest.raises(TrackingError, match=r"runtime\.tracking: false"):
        promote(FewParams(), paths, open_tracker(False, home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"http://127.0.0.1:9 must answer"):
        promoted(paths)


def test_a_champion_measured_otherwise_is_measured_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.stages import evaluate

    _, champion = judged_project(tmp_path / "one", home)
    promoted(judged_project(tmp_path / "one", home)[0])
    challenger, _ = judged_project(tmp_path / "two", home, seed=1, data="new", metrics={"energy_classifier": 0.065})

    def measure(params: Any, paths: Any, bundle: Path, out: Path, *, panels: bool) -> None:
        from ddpm_core.bundle.format import read_bundle

        assert read_bundle(bundle).digest == champion.digest
        assert paths == challenger
        (out / "samples").mkdir(parents=True)
        record = json.loads(challenger.record.read_text())
        write_measured(out, with_ends({**GOOD, "energy_classifier": 0.06}), record)

    monkeypatch.setattr(evaluate, "measure_bundle", measure)
    assert promoted(challenger).version == 2


def test_a_champion_that_cannot_be_measured_alike_is_told_with_what_differs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.stages import evaluate

    promoted(judged_project(tmp_path / "one", home)[0])
    challenger, _ = judged_project(tmp_path / "two", home, seed=1, data="new")

    def refuse(params: Any, paths: Any, bundle: Path, out: Path, *, panels: bool) -> None:
        raise DataError("other classes")

    monkeypatch.setattr(evaluate, "measure_bundle", refuse)
    with pytest.raises(PromotionRefused, match=r"data differ.*other classes.*gate\.model_name"):
        promoted(challenger)
    monkeypatch.setattr(evaluate, "measure_bundle", _measure_under_other_conditions)
    with pytest.raises(PromotionRefused, match=r"data differ.*its new measurement differs in them too"):
        promoted(challenger)


def _measure_under_other_conditions(params: Any, paths: Any, bundle: Path, out: Path, *, panels: bool) -> None:
    conditions = {"n": 100, "classifier": {"usable": True}, "settings": {"confidence": 0.95}}
    conditions |= {"data": "yet another", "resampling": RESAMPLING}
    (out / "samples").mkdir(parents=True)
    record = {"conditions": conditions, "provenance": {"bundle": "b"}, "metrics": described(classes=3)}
    write_measured(out, GOOD, record)


def test_a_champion_that_moved_meanwhile_is_not_written_over(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(judged_project(tmp_path / "one", home)[0])
    challenger, _ = judged_project(tmp_path / "two", home, seed=1)
    registry = registry_of(home)

    def somebody_else_moves(self: Registry, expected: Version | None, to: Version) -> bool:
        self.point("champion", to)
        return moves(self, expected, to)

    moves = Registry.move_champion
    monkeypatch.setattr(Registry, "move_champion", somebody_else_moves)
    with pytest.raises(PromotionRefused, match=r"must not change during a promotion.*it was version 1.*again"):
        promoted(challenger)
    assert number_of(home, "previous") is None
    assert registry.holder("champion") is not None


def test_an_alias_that_somebody_else_moves_at_the_same_moment_is_a_lost_race(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry has no compare-and-swap: the alias is read before it is set, and read back after."""
    promoted(judged_project(tmp_path / "one", home)[0])
    challenger, _ = judged_project(tmp_path / "two", home, seed=1)
    point = Registry.point

    def then_somebody_else(self: Registry, alias: str, to: Version) -> None:
        point(self, alias, to)
        if alias == "champion":
            point(self, alias, self.versions()[0])

    monkeypatch.setattr(Registry, "point", then_somebody_else)
    with pytest.raises(PromotionRefused, match=r"must not change during a promotion"):
        promoted(challenger)
    assert (number_of(home, "champion"), number_of(home, "previous")) == (1, None)
    assert [event.what for event in events_of(registry_of(home).versions()[1])] == []


def test_of_promotions_at_once_one_registers_and_the_others_find_it_done(home: Path, tmp_path: Path) -> None:
    paths, _ = judged_project(tmp_path / "one", home)
    outcomes: list[str] = []
    threads = [threading.Thread(target=lambda: outcomes.append(promoted(paths).outcome)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["promoted", "unchanged", "unchanged"]
    assert versions(home) == 1


def test_a_champion_that_is_held_back_is_no_previous_one(home: Path, tmp_path: Path) -> None:
    """As it is where a rollback was cut off before the alias moved."""
    promoted(judged_project(tmp_path / "one", home)[0])
    registry = registry_of(home)
    note(registry, registry.versions()[0], Event.now(ROLLED_BACK, "sevens"))
    assert promoted(judged_project(tmp_path / "two", home, seed=1)[0]).outcome == "promoted"
    assert (number_of(home, "champion"), number_of(home, "previous")) == (2, None)


def test_a_champion_whose_record_is_not_the_one_it_was_registered_with_is_measured_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.stages import evaluate

    promoted(judged_project(tmp_path / "one", home)[0])
    registry = registry_of(home)
    registry.tag(registry.versions()[0], {"record": "0" * 64})

    def measure(params: Any, paths: Any, bundle: Path, out: Path, *, panels: bool) -> None:
        raise DataError("measured anew")

    monkeypatch.setattr(evaluate, "measure_bundle", measure)
    with pytest.raises(PromotionRefused, match=r"its measurement differ.*measured anew"):
        promoted(judged_project(tmp_path / "two", home, seed=1)[0])


def test_a_measure_whose_spread_is_not_known_is_no_ground_to_promote(home: Path, tmp_path: Path) -> None:
    promoted(judged_project(tmp_path / "one", home)[0])
    challenger, _ = judged_project(tmp_path / "two", home, seed=1)
    record = json.loads(challenger.record.read_text())
    del record["replicates"]["energy_classifier"]
    write_measured(challenger.root / "out", json.loads(challenger.metrics.read_text()), record)
    judged_by(GATE, challenger)
    with pytest.raises(PromotionRefused, match=r"not measured\):\n.*the challenger has no energy_classifier, or"):
        promoted(challenger)
    assert number_of(home, "champion") == 1


def test_promotion_leaves_the_process_as_it_was(home: Path, tmp_path: Path) -> None:
    import mlflow

    before = dict(os.environ)
    promoted(judged_project(tmp_path / "one", home)[0])
    changed = {name for name, value in os.environ.items() if before.get(name) != value}
    assert not changed & {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"}
    assert not mlflow.is_tracking_uri_set()


def test_a_version_is_found_by_its_number_or_an_alias_and_others_are_not(home: Path, tmp_path: Path) -> None:
    registry = registry_of(home)
    assert (registry.named("1"), registry.named("champion")) == (None, None)
    promoted(judged_project(tmp_path / "one", home)[0])
    found = [registry.named(name) for name in ("1", "champion", "2", "0" * 32, "9" * 32, "previous")]
    assert [version and version.number for version in found] == [1, 1, None, None, None, None]
