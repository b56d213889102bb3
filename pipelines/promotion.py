"""Promotion: the bundle that was judged becomes the champion of the registry, or it is said why not.

No stage of DVC, for it changes what is shared. It trusts no old verdict, but judges again, by the metrics, the record
of how they were taken and today's rules; and it registers nothing but the very bundle that the record names. Told
twice it changes nothing the second time.
"""

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ddpm_core.bundle import Bundle, read_bundle
from ddpm_core.errors import DataError, DdpmError, PromotionRefused, TrackingError
from ddpm_core.files import json_bytes, sha256_bytes
from ddpm_core.metrics.verdict import GateConfig, Verdict, number, verdict
from pipelines.paths import Paths
from pipelines.tools.outputs import weights_digest
from pipelines.tools.spool import StoreDown
from pipelines.tools.tracking import NullTracker, Tracker

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.mlflow_registry import Registry, Version

log = logging.getLogger(__name__)

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
# What the model itself brings: two models may differ in these and still be measured under equal conditions.
_OF_THE_MODEL = ("sampler", "guidance", "not_measured")


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


@dataclass(frozen=True)
class _Measured:
    """A model's metrics and the record of how they were taken."""

    metrics: Mapping[str, float]
    record: Mapping[str, Any]

    @classmethod
    def read(cls, metrics: Path, record: Path) -> "_Measured":
        return cls(_read_json(metrics), _read_json(record))

    @property
    def conditions(self) -> dict[str, Any]:
        return {name: value for name, value in self.record["conditions"].items() if name not in _OF_THE_MODEL}

    def differs_from(self, other: "_Measured") -> list[str]:
        """The conditions under which the two were not measured alike."""
        mine, its = self.conditions, other.conditions
        return sorted(name for name in mine.keys() | its.keys() if mine.get(name) != its.get(name))


def promote(params: "Params", paths: Paths, tracker: Tracker) -> Promotion:
    """Judge the present bundle again, register it and make it the champion if it is no worse than the present one."""
    bundle = read_bundle(paths.bundle)
    challenger = _Measured.read(paths.metrics, paths.record)
    judged = verdict(challenger.metrics, challenger.record, params.gate)
    _refuse_unless_passed(judged, bundle)
    with _store_must_answer(), _one_at_a_time(paths):
        from pipelines.tools.mlflow_registry import Registry

        registry = Registry(tracker.store(), params.gate.model_name)
        run_id = tracker.restore(paths, params)
        version = _registered(registry, run_id, bundle, judged, paths)
        champion = registry.holder(CHAMPION)
        if champion is not None and champion.bundle == bundle.digest:
            return Promotion("unchanged", registry.name, champion.number, bundle.digest, None)
        if champion is not None:
            registry.point(CHALLENGER, version)
            worse = _worse_than(registry, champion, challenger, params, paths)
            if worse:
                raise PromotionRefused(
                    f"the bundle must be no worse than the champion, version {champion.number} of {registry.name}, and "
                    "it is:\n  " + "\n  ".join(worse) + f"\nIt is kept as version {version.number}, alias "
                    f"`{CHALLENGER}`; train on, or move the alias in MLflow's pages if you want it all the same."
                )
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


def _worse_than(
    registry: "Registry", champion: "Version", challenger: _Measured, params: "Params", paths: Paths
) -> list[str]:
    """In what the challenger is worse than the champion, both measured under equal conditions."""
    with tempfile.TemporaryDirectory(dir=paths.home, prefix="champion-") as scratch:
        files = registry.fetch(champion, Path(scratch))
        held = _Measured.read(files / "metrics.json", files / "record.json")
        if different := challenger.differs_from(held):
            log.info("the champion was measured under other conditions (%s); measuring it again", ", ".join(different))
            held = _measured_again(files / "bundle", Path(scratch) / "again", different, params, paths)
            if still := challenger.differs_from(held):
                raise _not_comparable(still, "its new measurement differs in them too; run `dvc repro` first")
    return compare(challenger.metrics, held.metrics, challenger.record["conditions"], params.gate)


def _measured_again(bundle: Path, scratch: Path, different: list[str], params: "Params", paths: Paths) -> _Measured:
    """The champion's bundle, measured by stage evaluate on today's data and settings, in a folder of its own."""
    from pipelines.stages import evaluate

    there = Paths(root=scratch, home=scratch / "home")
    for mine, its in ((bundle, there.bundle), (paths.shards, there.shards), (paths.reference, there.reference)):
        its.parent.mkdir(parents=True, exist_ok=True)
        its.symlink_to(mine)
    try:
        evaluate.run(params, there, NullTracker())
    except DdpmError as error:
        raise _not_comparable(different, f"it cannot be measured on the present data: {error}") from error
    return _Measured.read(there.metrics, there.record)


def compare(
    challenger: Mapping[str, float], champion: Mapping[str, float], conditions: Mapping[str, Any], gate: GateConfig
) -> list[str]:
    """A line for each measure in which the challenger is worse than the champion by more than the measure can tell.

    A distance is given in units of what two sets of real images are apart at this n, its floor: a difference below one
    floor is not told from chance. Asked-label accuracy may be lower by the loss that the gate allows.
    """
    lines = []
    for distance in conditions["distances"]:
        for split in ("train", "test"):
            name = f"{distance}_ratio_{split}"
            mine, its = _both(name, challenger, champion)
            if mine > its + 1:
                lines.append(f"{name}: {number(mine)} x the floor, the champion {number(its)} x; allowed 1 x more")
    if "accuracy_asked" in challenger and "accuracy_asked" in champion and gate.max_accuracy_loss is not None:
        mine, its = challenger["accuracy_asked"], champion["accuracy_asked"]
        if mine < its - gate.max_accuracy_loss:
            lines.append(
                f"accuracy_asked: {mine:.2%}, the champion {its:.2%}; allowed {gate.max_accuracy_loss:.2%} less"
            )
    return lines


def _both(name: str, challenger: Mapping[str, float], champion: Mapping[str, float]) -> tuple[float, float]:
    for who, metrics in (("challenger", challenger), ("champion", champion)):
        if name not in metrics:
            raise PromotionRefused(f"{name} must be measured of both models, and of the {who} it was not")
    return challenger[name], champion[name]


def _not_comparable(different: list[str], reason: str) -> PromotionRefused:
    return PromotionRefused(
        f"challenger and champion must be measured under equal conditions; {', '.join(different)} differ, and for the "
        f"champion {reason}. If these are models of different data, give them different names (gate.model_name)."
    )


@contextmanager
def _store_must_answer() -> Iterator[None]:
    try:
        yield
    except StoreDown as error:
        raise TrackingError(f"{error} Start it, or set MLFLOW_TRACKING_URI to one that runs.") from error


@contextmanager
def _one_at_a_time(paths: Paths) -> Iterator[None]:
    """Promotions on this machine wait for each other; those on others are met by the compare-and-swap of the alias."""
    from pipelines.tools.spool import locked

    with locked(paths.home / "promote.lock"):
        yield


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: there must be a measurement of the bundle; run `ddpm evaluate` first")
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: must be JSON, but {error}; run `ddpm evaluate` again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: must be a JSON object, got {type(value).__name__}; run `ddpm evaluate` again")
    return value
