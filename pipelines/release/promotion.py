"""Promotion: the judged bundle becomes the champion of the registry, or an error says why not.

It is not a stage of DVC, as it changes shared state. It trusts no file: each must match dvc.lock and the files that
name it (`judged_here`). It trusts no old verdict either, but judges again by the metrics, the record of the measurement
and today's rules; and it registers only the bundle that the record names. A second call changes nothing.
"""

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.errors import DdpmError, IntegrityError, PromotionRefused
from ddpm_core.files import json_bytes, sha256_bytes, sha256_file
from ddpm_core.gate.comparison import compare
from ddpm_core.gate.config import GateConfig
from ddpm_core.gate.rules import RuleResult, overall, rules_table
from ddpm_core.gate.verdict import Verdict, verdict
from ddpm_core.metrics.measurement import Measurement
from pipelines.evaluation.authenticity import check_bundle
from pipelines.gate import gate_file
from pipelines.gate.record import read_measurement, read_own_measurement
from pipelines.kinds.facts import registered_name
from pipelines.paths import Paths
from pipelines.release.alias_lock import one_at_a_time
from pipelines.release.history import PROMOTED, Event, is_held_back, note, rollback_of
from pipelines.tracking.aliases import CHALLENGER, CHAMPION, PREVIOUS
from pipelines.tracking.stage_records import weights_digest
from pipelines.tracking.store_access import store_must_answer
from pipelines.tracking.tracker import Tracker
from pipelines.versioning import dvc_lock

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.mlflow_registry import Registry, Version

log = logging.getLogger(__name__)

_SHOWN = 12
_RECORD = "record"  # the tag of a version with the SHA-256 of its record


@dataclass(frozen=True)
class Promotion:
    """The result of a promotion."""

    outcome: Literal["promoted", "unchanged", "kept back"]
    model: str
    version: int
    bundle: str
    previous: int | None
    rollback: Event | None = None

    def __str__(self) -> str:
        who = f"{self.model} version {self.version} (bundle {self.bundle[:12]})"
        if self.outcome == "unchanged":
            return f"{who} is the champion already; nothing was changed"
        if self.outcome == "kept back":
            return (
                f"{who} is not promoted, as it was {self.rollback}. Nothing was changed; "
                "`ddpm promote --again --why TEXT` judges and promotes it anyway"
            )
        if self.previous is None:
            return f"{who} is the first champion"
        return f"{who} is the champion; the one before, version {self.previous}, has the alias `{PREVIOUS}`"


def promote(params: "Params", paths: Paths, tracker: Tracker, again: str | None = None) -> Promotion:
    """Judge the present bundle again, register it and make it the champion if it is no worse than the present one.

    A bundle that was rolled back is not promoted, unless `again` gives a reason.
    """
    bundle, challenger, judged = judged_here(params.gate, paths)
    with store_must_answer(), one_at_a_time(paths):
        from pipelines.tracking.mlflow_registry import Registry

        registry = Registry(tracker.store(), registered_name(params.gate, paths))
        run_id = tracker.restore(paths)
        version = _registered(registry, run_id, bundle, judged, paths)
        champion = registry.holder(CHAMPION)
        if champion is not None and champion.bundle == bundle.digest:
            if again is not None and is_held_back(champion):
                note(registry, champion, Event.now(PROMOTED, again))
            return Promotion("unchanged", registry.name, champion.number, bundle.digest, None)
        rollback = rollback_of(version)
        if rollback is not None and again is None:
            return Promotion("kept back", registry.name, version.number, bundle.digest, None, rollback)
        if champion is not None:
            registry.point(CHALLENGER, version)
            rules = _against(registry, champion, challenger, params, paths)
            log.info(
                "compared with the champion, version %d of %s:\n%s", champion.number, registry.name, rules_table(rules)
            )
            if overall(rules) != "pass":
                raise PromotionRefused(_words(rules, champion, version, registry.name))
        if not registry.move_champion(champion, version):
            raise PromotionRefused(
                f"the champion of {registry.name} must not change during a promotion, but it did (it was "
                f"{'none' if champion is None else f'version {champion.number}'}); run `ddpm promote` again to "
                "compare with the new one"
            )
        note(registry, version, Event.now(PROMOTED, again or "", None if champion is None else champion.number))
        if champion is not None and not is_held_back(champion):
            registry.point(PREVIOUS, champion)
    return Promotion(
        "promoted", registry.name, version.number, bundle.digest, None if champion is None else champion.number
    )


def judged_here(gate: GateConfig, paths: Paths) -> tuple[Bundle, Measurement, Verdict]:
    """The bundle, its measurement and its verdict, if all files match each other and dvc.lock."""
    differing = dvc_lock.differences(paths)
    try:
        challenger, bundle = read_own_measurement(paths), read_bundle(paths.bundle)
        judged = verdict(challenger.metrics, challenger.record, gate)
    except DdpmError as error:
        if not differing:
            raise
        raise PromotionRefused(_differing([str(error), *differing])) from error
    if not judged.passed:
        besides = [line for line in differing if line != dvc_lock.unfinished("gate")]  # which failed, and fails again
        raise PromotionRefused(
            f"the bundle must pass the gate, but by today's rules it does not ({judged.outcome}):\n "
            + "\n  ".join(judged.reasons)
            + (f"\nBesides, {_differing(besides)}" if besides else "")
        )
    differing += gate_file.differences(judged, gate, paths)
    if differing:
        raise PromotionRefused(_differing(differing))
    return bundle, challenger, judged


def _differing(lines: Sequence[str]) -> str:
    shown = "\n  ".join(lines[:_SHOWN]) + (f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")
    return f"the files must be those of the last run, but they are not:\n {shown}\n{dvc_lock.MEND}"


def _registered(registry: "Registry", run_id: str, bundle: Bundle, judged: Verdict, paths: Paths) -> "Version":
    """The version of this bundle, created if the registry has none."""
    tags = {
        "bundle": bundle.digest,
        "weights": weights_digest(paths),
        "verdict": judged.outcome,
        "verdict_digest": sha256_bytes(json_bytes(judged.to_dict())),
        _RECORD: sha256_file(paths.record),
    }
    known = registry.version_of(bundle.digest)
    if known is not None:
        registry.tag(known, tags)
        return known
    import ddpm_core
    import pipelines
    from pipelines.tracking import mlflow_model

    files = {"bundle": paths.bundle, "metrics": paths.metrics, "record": paths.record}
    words = f"Bundle {bundle.digest[:12]}. It passed the gate:\n\n```\n{judged.table()}\n```"
    packages = [Path(package.__path__[0]) for package in (ddpm_core, pipelines)]
    version = registry.add(
        run_id, files, Path(mlflow_model.__file__), packages, mlflow_model.signature(bundle.spec), tags, words
    )
    log.info("registered as %s version %d", registry.name, version.number)
    return version


def _words(rules: Sequence[RuleResult], champion: "Version", version: "Version", name: str) -> str:
    blocking = "\n  ".join(f"{rule.rule}: {rule.outcome}: {rule.text}" for rule in rules if rule.outcome != "pass")
    return (
        f"the bundle must be no worse than the champion, version {champion.number} of {name}, by more than the gate "
        f"allows, but this is not shown ({overall(rules)}):\n {blocking}\nIt is kept as version {version.number}, "
        f"alias `{CHALLENGER}`; train on, measure more samples (evaluate.n, split.test_fraction), or move the alias in "
        "MLflow's pages if you want it anyway."
    )


def _against(
    registry: "Registry", champion: "Version", challenger: Measurement, params: "Params", paths: Paths
) -> tuple[RuleResult, ...]:
    """The rules about the champion, both models measured under equal conditions."""
    with tempfile.TemporaryDirectory(dir=paths.home, prefix="champion-") as scratch:
        files = registry.fetch(champion, Path(scratch))
        different, beside = _as_registered(champion, challenger, files)
        if beside is None or different:
            beside = _measured_again(files / "bundle", Path(scratch) / "again", different, params, paths)
            if still := challenger.differs_from(beside):
                raise _not_comparable(still, "its new measurement differs in them too; run `dvc repro` first")
    return compare(challenger, beside, params.gate)


def _as_registered(champion: "Version", challenger: Measurement, files: Path) -> tuple[list[str], Measurement | None]:
    """The conditions in which the champion's measurement differs; and the measurement, if it is as registered."""
    check_bundle(files / "bundle", champion.bundle, Path(f"version {champion.number} of the registry"))
    try:
        beside = read_measurement(files / "metrics.json", files / "record.json")
        found = sha256_file(files / "record.json")
        if champion.tags.get(_RECORD, found) != found or beside.bundle != champion.bundle:
            raise IntegrityError(f"record.json: must be the one that version {champion.number} was registered with")
    except DdpmError as error:
        log.warning("the champion's own measurement cannot be used; measuring it again: %s", error)
        return ["its measurement"], None
    different = list(challenger.differs_from(beside))
    if different:
        log.info("the champion was measured under other conditions (%s); measuring it again", ", ".join(different))
    return different, beside


def _measured_again(
    bundle: Path, scratch: Path, different: Iterable[str], params: "Params", paths: Paths
) -> Measurement:
    """Measure the champion's bundle as stage evaluate does, with today's data and settings, in its own folder."""
    from pipelines.stages import evaluate

    try:
        evaluate.measure_bundle(params, paths, bundle, scratch, panels=False)
    except DdpmError as error:
        raise _not_comparable(different, f"it cannot be measured on the present data: {error}") from error
    return read_measurement(scratch / "metrics.json", scratch / "record.json", scratch / "samples")


def _not_comparable(different: Iterable[str], reason: str) -> PromotionRefused:
    return PromotionRefused(
        f"challenger and champion must be measured under equal conditions; {', '.join(different)} differ, and for the "
        f"champion {reason}. If these are models of different data, give them different names (gate.model_name)."
    )
