"""Promotion: the bundle that was judged becomes the champion of the registry, or it is said why not.

No stage of DVC, for it changes what is shared. It trusts no old verdict, but judges again, by the metrics, the record
of how they were taken and today's rules; and it registers nothing but the very bundle that the record names. Told
twice it changes nothing the second time.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ddpm_core.bundle import Bundle, read_bundle
from ddpm_core.errors import DdpmError, PromotionRefused, TrackingError
from ddpm_core.files import json_bytes, sha256_bytes
from ddpm_core.metrics.comparison import compare
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.rules import RuleResult, overall, rules_table
from ddpm_core.metrics.verdict import Verdict, verdict
from pipelines.paths import Paths
from pipelines.tools.measurement import read_json, read_measurement
from pipelines.tools.outputs import weights_digest
from pipelines.tools.source_facts import registered_name
from pipelines.tools.spool import StoreDown
from pipelines.tools.tracking import Tracker

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.mlflow_registry import Registry, Version

log = logging.getLogger(__name__)

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"


@dataclass(frozen=True)
class Promotion:
    """What a promotion came to."""

    outcome: Literal["promoted", "unchanged"]
    model: str
    version: int
    bundle: str
    previous: int | None

    def __str__(self) -> str:
        who = f"{self.model} version {self.version} (bundle {self.bundle[:12]})"
        if self.outcome == "unchanged":
            return f"{who} is the champion already; nothing was changed"
        if self.previous is None:
            return f"{who} is the first champion"
        return f"{who} is the champion; before it was version {self.previous}, which keeps the alias `{PREVIOUS}`"


def promote(params: "Params", paths: Paths, tracker: Tracker) -> Promotion:
    """Judge the present bundle again, register it and make it the champion if it is no worse than the present one."""
    bundle = read_bundle(paths.bundle)
    challenger = read_measurement(paths.metrics, paths.record)
    judged = verdict(challenger.metrics, challenger.record, params.gate)
    _refuse_unless_passed(judged, bundle)
    with _store_must_answer(), _one_at_a_time(paths):
        from pipelines.tools.mlflow_registry import Registry

        registry = Registry(tracker.store(), registered_name(params.gate, paths))
        run_id = tracker.restore(paths, params)
        version = _registered(registry, run_id, bundle, judged, paths)
        champion = registry.holder(CHAMPION)
        if champion is not None and champion.bundle == bundle.digest:
            return Promotion("unchanged", registry.name, champion.number, bundle.digest, None)
        if champion is not None:
            registry.point(CHALLENGER, version)
            rules = _against(registry, champion, challenger, params, paths)
            log.info("beside the champion, version %d of %s:\n%s", champion.number, registry.name, rules_table(rules))
            if overall(rules) != "pass":
                raise PromotionRefused(_words(rules, champion, version, registry.name))
        if not registry.move(CHAMPION, champion, version):
            raise PromotionRefused(
                f"the champion of {registry.name} must not change during a promotion, and it did (it was "
                f"{'none' if champion is None else f'version {champion.number}'}); run `ddpm promote` again to be "
                "compared with the new one"
            )
        if champion is not None:
            registry.point(PREVIOUS, champion)
    return Promotion(
        "promoted", registry.name, version.number, bundle.digest, None if champion is None else champion.number
    )


def _refuse_unless_passed(judged: Verdict, bundle: Bundle) -> None:
    if judged.bundle != bundle.digest:
        raise PromotionRefused(
            f"out/record.json must be about the present bundle {bundle.digest[:12]}, and it is about "
            f"{judged.bundle[:12]}; run `ddpm run` (or `dvc repro`) to measure this one"
        )
    if not judged.passed:
        raise PromotionRefused(
            f"the bundle must pass the gate, and by today's rules it does not ({judged.outcome}):\n  "
            + "\n  ".join(judged.reasons)
        )


def _registered(registry: "Registry", run_id: str, bundle: Bundle, judged: Verdict, paths: Paths) -> "Version":
    """The version of this very bundle, made if the registry has none."""
    tags = {
        "bundle": bundle.digest,
        "weights": weights_digest(paths),
        "verdict": judged.outcome,
        "verdict_digest": sha256_bytes(json_bytes(judged.to_dict())),
    }
    known = registry.version_of(bundle.digest)
    if known is not None:
        registry.tag(known, tags)
        return known
    from pipelines import mlflow_model

    files = {"bundle": paths.bundle, "metrics": paths.metrics, "record": paths.record}
    words = f"Bundle {bundle.digest[:12]}. It passed the gate:\n\n```\n{judged.table()}\n```"
    version = registry.add(run_id, files, Path(mlflow_model.__file__), mlflow_model.SIGNATURE, tags, words)
    log.info("registered as %s version %d", registry.name, version.number)
    return version


def _words(rules: Sequence[RuleResult], champion: "Version", version: "Version", name: str) -> str:
    blocking = "\n  ".join(f"{rule.rule}: {rule.outcome}: {rule.text}" for rule in rules if rule.outcome != "pass")
    return (
        f"the bundle must be no worse than the champion, version {champion.number} of {name}, by more than the gate "
        f"allows, and that is not shown ({overall(rules)}):\n  {blocking}\nIt is kept as version {version.number}, "
        f"alias `{CHALLENGER}`; train on, measure more samples (evaluate.n, split.test_fraction), or move the alias in "
        "MLflow's pages if you want it all the same."
    )


def _against(
    registry: "Registry", champion: "Version", challenger: Measurement, params: "Params", paths: Paths
) -> tuple[RuleResult, ...]:
    """The rules about the champion, both models measured under equal conditions."""
    with tempfile.TemporaryDirectory(dir=paths.home, prefix="champion-") as scratch:
        files = registry.fetch(champion, Path(scratch))
        held = read_json(files / "metrics.json")[0], read_json(files / "record.json")[0]
        beside = Measurement(*held)
        if different := challenger.differs_from(beside):
            log.info("the champion was measured under other conditions (%s); measuring it again", ", ".join(different))
            beside = _measured_again(files / "bundle", Path(scratch) / "again", different, params, paths)
            if still := challenger.differs_from(beside):
                raise _not_comparable(still, "its new measurement differs in them too; run `dvc repro` first")
    return compare(challenger, beside, params.gate)


def _measured_again(
    bundle: Path, scratch: Path, different: Iterable[str], params: "Params", paths: Paths
) -> Measurement:
    """The champion's bundle, measured as stage evaluate does on today's data and settings, in a folder of its own."""
    from pipelines.stages import evaluate

    try:
        evaluate.measure_bundle(params, paths, bundle, scratch, panels=False)
    except DdpmError as error:
        raise _not_comparable(different, f"it cannot be measured on the present data: {error}") from error
    return read_measurement(scratch / "metrics.json", scratch / "record.json")


def _not_comparable(different: Iterable[str], reason: str) -> PromotionRefused:
    return PromotionRefused(
        f"challenger and champion must be measured under equal conditions; {', '.join(different)} differ, and for the "
        f"champion {reason}. If these are models of different data, give them different names (gate.model_name)."
    )


@contextmanager
def _store_must_answer() -> Iterator[None]:
    try:
        yield
    except StoreDown as error:
        raise TrackingError(f"{error} {error.mend}") from error


@contextmanager
def _one_at_a_time(paths: Paths) -> Iterator[None]:
    """Promotions on this machine wait for each other; those on others are met by the compare-and-swap of the alias."""
    from pipelines.tools.spool import locked

    with locked(paths.home / "promote.lock"):
        yield
