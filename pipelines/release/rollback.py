"""Rollback: an earlier version is champion again, and the versions it replaces are not promoted again automatically.

It marks the replaced versions before it moves the alias, so that after an interruption the next run promotes none of
them; the same command then completes the rollback.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ddpm_core.bundle.format import read_bundle
from ddpm_core.errors import DdpmError, IntegrityError, ParamsError, PromotionRefused
from pipelines.kinds.facts import registered_name
from pipelines.paths import Paths
from pipelines.release.alias_lock import one_at_a_time
from pipelines.release.history import (
    RESTORED,
    ROLLED_BACK,
    Event,
    became_champion,
    is_held_back,
    note,
    rollback_of,
)
from pipelines.tracking.aliases import CHALLENGER, CHAMPION, PREVIOUS
from pipelines.tracking.store_access import store_must_answer
from pipelines.tracking.tracker import Tracker

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.mlflow_registry import Registry, Version


@dataclass(frozen=True)
class Rollback:
    """The result of a rollback."""

    outcome: Literal["rolled back", "unchanged"]
    model: str
    version: int
    bundle: str
    replaced: tuple[int, ...] = ()
    previous: int | None = None

    def __str__(self) -> str:
        who = f"{self.model} version {self.version} (bundle {self.bundle[:12]})"
        if self.outcome == "unchanged":
            return f"{who} is the champion already; nothing was changed"
        numbers = " and ".join(str(number) for number in self.replaced)
        held = f"; version {numbers} will not be promoted again automatically" if numbers else ""
        before = f"version {self.previous}" if self.previous else "none"
        return f"{who} is the champion again{held}; alias `{PREVIOUS}`: {before}"


def roll_back(
    params: "Params", paths: Paths, tracker: Tracker, wanted: int | None, why: str, *, again: bool = False
) -> Rollback:
    """Make an earlier version champion: `wanted`, or the one before the present champion.

    A version that was itself rolled back needs `again`; then no other version is blocked.
    """
    with store_must_answer(), one_at_a_time(paths):
        from pipelines.tracking.mlflow_registry import Registry

        registry = Registry(tracker.store(), registered_name(params.gate, paths))
        versions, aliases = registry.versions(), registry.aliases()
        champion = _champion(registry, versions, aliases.get(CHAMPION))
        target = _target(registry, versions, aliases.get(PREVIOUS) if wanted is None else wanted, wanted)
        reinstated = is_held_back(target)
        if reinstated and not again:
            raise PromotionRefused(
                f"version {target.number} of {registry.name} must not have been rolled back, but it was "
                f"({rollback_of(target)}); add --again to make it champion anyway"
            )
        if target.number == champion.number:
            if reinstated:
                note(registry, target, Event.now(RESTORED, why))
            _point_challenger(registry, target)
            _point_previous(registry, None)
            return Rollback("unchanged", registry.name, target.number, target.bundle)
        _check_files(registry, target, paths)
        replaced = [] if reinstated else _promoted_after(versions, target, champion)
        marks = [(version, Event.now(ROLLED_BACK, why, target.number)) for version in replaced]
        for version, mark in marks:
            note(registry, version, mark)
        if not registry.move_champion(champion, target):
            for version, mark in marks:
                for name in mark.tag():
                    registry.untag(version, name)
            raise PromotionRefused(
                f"the champion of {registry.name} must not change during a rollback, but it did (it was version "
                f"{champion.number}); look at `ddpm history` and run the rollback again"
            )
        note(registry, target, Event.now(RESTORED, why, champion.number))
        _point_challenger(registry, target)
        previous = _point_previous(registry, champion if reinstated else None)
    numbers = tuple(version.number for version in replaced)
    return Rollback("rolled back", registry.name, target.number, target.bundle, numbers, previous)


def _champion(registry: "Registry", versions: Sequence["Version"], number: int | None) -> "Version":
    for version in versions:
        if version.number == number:
            return version
    raise DdpmError(
        f"a rollback needs a champion of {registry.name}, but there is none "
        f"({len(versions)} versions are registered); `ddpm promote` makes one"
    )


def _target(registry: "Registry", versions: Sequence["Version"], number: int | None, wanted: int | None) -> "Version":
    for version in versions:
        if version.number == number:
            return version
    known = ", ".join(str(version.number) for version in versions)
    if wanted is None:
        raise ParamsError(
            f"VERSION: must be given, as no version of {registry.name} has the alias `{PREVIOUS}`; there are {known}; "
            "see `ddpm history`"
        )
    raise ParamsError(f"VERSION: must be a version of {registry.name} ({known}), got {wanted}; see `ddpm history`")


def _promoted_after(versions: Sequence["Version"], target: "Version", champion: "Version") -> list["Version"]:
    """The champion, and the versions that were champion between it and the target."""
    since, seen = became_champion(target), (target.number, champion.number)
    later = [v for v in versions if since and became_champion(v) > since and v.number not in seen]
    return [champion, *(version for version in later if not is_held_back(version))]


def _check_files(registry: "Registry", target: "Version", paths: Paths) -> None:
    """Check that the target can be fetched and is what was registered."""
    paths.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.home, prefix="rollback-") as scratch:
        bundle = read_bundle(registry.fetch(target, Path(scratch)) / "bundle")
    if bundle.digest != target.bundle:
        raise IntegrityError(
            f"version {target.number} of {registry.name} must hold the bundle {target.bundle[:12]} that it was "
            f"registered with, but it holds {bundle.digest[:12]}; roll back to another version"
        )


def _point_challenger(registry: "Registry", champion: "Version") -> None:
    """Move `challenger` from a version that is blocked to the champion, so that what follows the alias leaves it."""
    challenger = registry.holder(CHALLENGER)
    if challenger is not None and is_held_back(challenger):
        registry.point(CHALLENGER, champion)


def _point_previous(registry: "Registry", chosen: "Version | None") -> int | None:
    """Move `previous` to the version chosen, else to the last champion that is not blocked, else remove it."""
    aliases = registry.aliases()
    champion, held = aliases.get(CHAMPION), aliases.get(PREVIOUS)
    free = {v.number: v for v in registry.versions() if v.number != champion and not is_held_back(v)}
    earlier = [version for version in free.values() if became_champion(version)]
    best = chosen or max(earlier, key=became_champion, default=free.get(held) if held else None)
    if best is not None:
        if best.number != held:
            registry.point(PREVIOUS, best)
        return best.number
    if held is not None:
        registry.clear(PREVIOUS)
    return None
