"""What a source says of its own data: a title, a use, a licence, limits, a name for the registry. It may know none.

Stage prepare writes it to data/source.json beside the manifest, so the report is about the data that were prepared, not
about what params.yaml says by then. Nothing is made up: what neither source nor user says is "not stated".
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import IntegrityError
from ddpm_core.files import atomic_write_json

if TYPE_CHECKING:
    from ddpm_core.gate.config import GateConfig
    from pipelines.paths import Paths


@dataclass(frozen=True)
class SourceFacts:
    """None is what the source does not know."""

    model_name: str
    title: str | None = None
    intended_use: str | None = None
    data_licence: str | None = None
    limits: str | None = None


def name_of(words: str, otherwise: str) -> str:
    """A name for the registry from a folder's name or a set's: `ddpm-` and its letters and digits, if it has any."""
    return f"ddpm-{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-') or otherwise}"


def write_facts(path: Path, facts: SourceFacts) -> None:
    atomic_write_json(path, asdict(facts))


def read_facts(path: Path) -> SourceFacts:
    mend = "`dvc checkout --force data/source.json` brings the recorded bytes back; `ddpm prepare` writes it anew"
    try:
        return SourceFacts(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise IntegrityError(f"{path}: file not found; it says what the data are, and {mend}") from error
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{path}: must be what prepare wrote of the source, but {error}; {mend}") from error


def registered_name(config: "GateConfig", paths: "Paths") -> str:
    """The name in the registry: `gate.model_name`, or where that is null the one that belongs to the data."""
    return read_facts(paths.source_facts).model_name if config.model_name is None else config.model_name
