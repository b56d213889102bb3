"""The history of a registered model: when, by whom and why each version was promoted or rolled back.

Every promotion and every rollback is an event, stored as JSON in a tag `event.<time>` of its version. A version whose
last event is a rollback is blocked: it is not promoted again unless somebody asks for it.
"""

import getpass
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ParamsError

if TYPE_CHECKING:
    from pipelines.tracking.mlflow_registry import Registry, Version

PROMOTED, RESTORED, ROLLED_BACK = "promoted", "restored", "rolled back"
LONGEST_WHY = 1000
_PREFIX = "event."


@dataclass(frozen=True)
class Event:
    """An event of a version: `promoted`, `restored` (champion again after a rollback) or `rolled back`."""

    what: str
    at: str
    by: str
    why: str
    of: int | None = None  # the version that it replaced, or that replaced it

    @classmethod
    def now(cls, what: str, why: str = "", of: int | None = None) -> "Event":
        return cls(what, datetime.now(UTC).isoformat(timespec="microseconds"), who(), why, of)

    def tag(self) -> dict[str, str]:
        """The event as a version's tag."""
        said = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return {_PREFIX + self.at.replace("+00:00", "Z"): json.dumps(said)}

    def __str__(self) -> str:
        reason = f": {self.why}" if self.why else ""
        return f"{self.what} {self.at[:10]} {self.at[11:16]} UTC by {self.by}{reason}"


def who() -> str:
    """The user of this command, as user@machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def events_of(version: "Version") -> list[Event]:
    """A version's events, oldest first."""
    found = [_read(text) for name, text in version.tags.items() if name.startswith(_PREFIX)]
    return sorted((event for event in found if event is not None), key=lambda event: event.at)


def is_held_back(version: "Version") -> bool:
    """Whether it was rolled back and not promoted or restored since."""
    return rollback_of(version) is not None


def rollback_of(version: "Version") -> Event | None:
    """The rollback that blocks a version."""
    events = events_of(version)
    return events[-1] if events and events[-1].what == ROLLED_BACK else None


def became_champion(version: "Version") -> str:
    """When it last became champion; empty if it has no such event."""
    return max((event.at for event in events_of(version) if event.what in (PROMOTED, RESTORED)), default="")


def note(registry: "Registry", version: "Version", event: Event) -> None:
    """Store an event with its version."""
    registry.tag(version, event.tag())


def required_why(why: str | None) -> str:
    """Check the reason after --why: it must have text, for later readers of the history."""
    text = (why or "").strip()
    if not text:
        raise ParamsError("--why: must give the reason in words, for later readers of `ddpm history`; got nothing")
    if len(text) > LONGEST_WHY:
        raise ParamsError(f"--why: must be {LONGEST_WHY} characters or less, got {len(text)}")
    return text


def history(registry: "Registry") -> list[dict[str, Any]]:
    """The versions, newest first, as plain records."""
    held = registry.aliases()
    return [
        {
            "version": version.number,
            "bundle": version.bundle,
            "verdict": version.tags.get("verdict", ""),
            "aliases": sorted(alias for alias, number in held.items() if number == version.number),
            "registered": datetime.fromtimestamp(version.registered_ms / 1000, UTC).isoformat(timespec="seconds"),
            "held_back": is_held_back(version),
            "events": [vars(event) for event in events_of(version)],
        }
        for version in reversed(registry.versions())
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The records as a table for the terminal: a line for each version and for each further event."""
    heads = ("version", "bundle", "verdict", "aliases", "what happened")
    lines = [heads]
    for row in rows:
        told = [str(Event(**event)) for event in row["events"]] or [f"registered {row['registered'][:10]}"]
        lines.append((str(row["version"]), row["bundle"][:12], row["verdict"], ", ".join(row["aliases"]), told[0]))
        lines += [("", "", "", "", more) for more in told[1:]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "".join(
        "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _read(text: str) -> Event | None:
    """The event in a tag; None if the tag was edited by hand and is not one."""
    try:
        said = json.loads(text)
        of = said.get("of")
        return Event(said["what"], said["at"], said.get("by", ""), said.get("why", ""), None if of is None else int(of))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
