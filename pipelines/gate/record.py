"""What stage evaluate wrote, read back and verified, and the verdict on it: one place for the report and the gate."""

from pathlib import Path

from ddpm_core.errors import DataError
from ddpm_core.files import sha256_file
from ddpm_core.gate.config import GateConfig
from ddpm_core.gate.verdict import Verdict, verdict
from ddpm_core.metrics.measurement import Measurement
from pipelines.evaluation.authenticity import METRICS, RECORD, SAMPLES, check_bundle, read_json, read_measured
from pipelines.paths import Paths

__all__ = ["judge", "judged_in", "read_json", "read_measurement", "read_own_measurement"]


def judge(paths: Paths, config: GateConfig) -> tuple[Verdict, str]:
    """The verdict from the files of stage evaluate and today's rules, and the SHA-256 of the record it rests on."""
    found = read_own_measurement(paths)
    return verdict(found.metrics, found.record, config), sha256_file(paths.record)


def judged_in(folder: Path, config: GateConfig) -> Verdict:
    """The verdict on what lies in a folder of its own."""
    found = read_measured(folder / METRICS, folder / RECORD, folder / SAMPLES)
    return verdict(found.metrics, found.record, config)


def read_own_measurement(paths: Paths) -> Measurement:
    """The project's own measurement, about the very samples and the very bundle that lie beside it."""
    found = read_measurement(paths.metrics, paths.record, paths.samples)
    check_bundle(paths.bundle, found.bundle, paths.record)
    return found


def read_measurement(metrics: Path, record: Path, samples: Path | None = None, *, whole: bool = True) -> Measurement:
    """What stage evaluate wrote of one model; where `samples` are not `whole`, only the files that are there count."""
    found = read_measured(metrics, record, samples, whole=whole)
    try:
        _ = found.bundle, found.confidence, found.listed
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{record}: must say conditions.settings.confidence and provenance.bundle, but "
            f"{type(error).__name__}: {error}; run `ddpm evaluate` again"
        ) from error
    return found
