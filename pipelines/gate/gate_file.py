"""out/gate.json: a verdict with the limits that it was given by and the digests of what it rests on."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ddpm_core.diff import unequal
from ddpm_core.errors import DdpmError
from ddpm_core.files import atomic_write_bytes, json_bytes, sha256_file
from ddpm_core.gate.config import GateConfig
from ddpm_core.gate.verdict import Verdict
from pipelines.evaluation.authenticity import read_own, with_own_digest
from pipelines.kinds.facts import registered_name
from pipelines.paths import Paths

LIMITS, RESTS_ON = "limits", "rests_on"


def write_verdict(judged: Verdict, config: GateConfig, paths: Paths, places: tuple[Path, ...]) -> None:
    """Write the verdict to each place."""
    content = {
        **judged.to_dict(),
        "model_name": registered_name(config, paths),
        LIMITS: _plain(asdict(config)),
        RESTS_ON: rests_on(paths),
    }
    for place in places:
        atomic_write_bytes(place, with_own_digest(content))


def rests_on(paths: Paths) -> dict[str, str]:
    """The digests of what a verdict is made of: the bundle's name, the record and the metrics."""
    files = (paths.bundle / "bundle.json", paths.record, paths.metrics)
    return {file.relative_to(paths.root).as_posix(): sha256_file(file) for file in files if file.is_file()}


def differences(judged: Verdict, config: GateConfig, paths: Paths) -> Iterator[str]:
    """A line for each thing in out/gate.json that is not what it would be now."""
    name = paths.gate.relative_to(paths.root).as_posix()
    if not paths.gate.is_file():
        yield f"{name}: must be the verdict of stage gate, and there is none"
        return
    try:
        content = read_own(paths.gate)
    except DdpmError as error:
        yield str(error)
        return
    for key, was, now in unequal(content.get(LIMITS, {}), _plain(asdict(config))):
        yield f"params.yaml: gate.{key} must be {was!r}, by which {name} was given, got {now!r}"
    for file, was, now in unequal(content.get(RESTS_ON, {}), rests_on(paths)):
        yield f"{file}: must have SHA-256 {was}, on which {name} rests, got {now}"
    follows = _plain({**judged.to_dict(), "model_name": registered_name(config, paths)})
    for key, was, now in unequal({key: value for key, value in content.items() if key in follows}, follows):
        yield f"{name}: {key} must be {now!r}, which follows from the measurement and the limits, got {was!r}"


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json_bytes(value))
