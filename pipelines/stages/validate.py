"""Stage validate: the data contract. A breach stops the pipeline before anything is trained, and says which rows."""

import json
import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ContractFailed
from ddpm_core.files import atomic_write_json, sha256_file
from pipelines.kinds.pictures.contract.config import ContractConfig, read_suite
from pipelines.kinds.pictures.contract.expectations import Finding, Table, judge
from pipelines.kinds.pictures.rows.manifest import Manifest, Row, read_manifest
from pipelines.paths import Paths
from pipelines.runtime.progress import tracked

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

# A row of each table is known by these columns.
_NAMED_BY = {
    "files": ("source", "reason"),
    "pictures": ("key", "source"),
    "classes": ("class_name",),
    "data_set": ("name",),
}

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Judge the manifest, write out/contract.json (and a copy to the logs) and Data Docs; raise on a breach."""
    contract = params.contract
    manifest = read_manifest(paths.manifest)
    tables = _tables(manifest, paths.images, read_quarantine(paths.quarantine))
    parameters = _parameters(manifest, contract)
    suite = read_suite(paths.suite, tuple(_NAMED_BY), parameters, contract)
    shutil.rmtree(paths.data_docs, ignore_errors=True)
    findings = judge(suite, tables, _NAMED_BY, parameters, contract.rows_named, paths.data_docs)
    record = _record(manifest, contract, findings, paths)
    atomic_write_json(paths.contract, record)
    atomic_write_json(paths.logs / "contract.json", record)
    log.info("Data Docs: %s (they fetch scripts from the network when opened)", paths.data_docs / "index.html")
    for finding in findings:
        if not finding.passed and not finding.stops:
            log.warning("%s", finding.told())
    broken = [finding for finding in findings if finding.stops]
    if broken:
        raise ContractFailed(
            f"the data break {len(broken)} of {len(findings)} expectations, so nothing is trained on them:\n"
            + "".join(f"  {finding.told()}\n" for finding in broken)
            + "mend or remove those files, or move the threshold in section `contract` of params.yaml; the record: "
            f"{paths.logs / 'contract.json'}"
        )
    kept = sum(finding.passed for finding in findings)
    if kept == len(findings):
        log.info("the data keep all %d expectations", kept)
    else:
        log.info("the data keep %d of %d expectations; the rest are the warnings above", kept, len(findings))


def read_quarantine(folder: Path) -> list[dict[str, Any]]:
    """The records of the pictures that prepare refused."""
    text = (folder / "quarantine.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# ------------------------------------------------------------------------------------------ what is looked at


def _tables(manifest: Manifest, images: Path, quarantined: Sequence[Mapping[str, Any]]) -> dict[str, Table]:
    files = [{"source": row.source, "reason": "", "accepted": True} for row in manifest.rows]
    files += [{"source": line["source"], "reason": line["reason"], "accepted": False} for line in quarantined]
    return {
        "files": files,
        "pictures": _pictures(manifest, images),
        "classes": _classes(manifest),
        "data_set": [_data_set(manifest, len(quarantined))],
    }


def _pictures(manifest: Manifest, images: Path) -> list[dict[str, Any]]:
    """The manifest's rows, each with the state of its file and what it has in common with others."""
    equal: dict[str, list[Row]] = defaultdict(list)
    rows = []
    for row in tracked(manifest.rows, "validate", "pictures", total=len(manifest.rows)):
        same = equal[row.pixels_sha256]
        rows.append({**asdict(row), "file": _file_state(images / row.path, row), "earlier_copies": len(same)})
        same.append(row)
    for values in rows:
        same = equal[values["pixels_sha256"]]
        values["sides"] = len({other.split for other in same})
        values["labels_of_pixels"] = len({other.label for other in same})
    return rows


def _file_state(path: Path, row: Row) -> str:
    if not path.is_file():
        return "missing"
    return "whole" if sha256_file(path) == row.sha256 else "changed"


def _classes(manifest: Manifest) -> list[dict[str, Any]]:
    counts = Counter((row.label, row.split) for row in manifest.rows)
    totals = [counts[label, "train"] + counts[label, "test"] for label in range(len(manifest.spec.classes))]
    return [
        {
            "class_name": name,
            "train_images": counts[label, "train"],
            "test_images": counts[label, "test"],
            "times_fewer": max(totals) / max(1, totals[label]),
        }
        for label, name in enumerate(manifest.spec.classes)
    ]


def _data_set(manifest: Manifest, quarantined: int) -> dict[str, Any]:
    counts = manifest.counts
    off = abs(counts.found - counts.accepted - counts.quarantined)
    off += abs(counts.accepted - len(manifest.rows)) + abs(counts.quarantined - quarantined)
    return {
        "name": "data set",
        "train_images": len(manifest.of_split("train")),
        "test_images": len(manifest.of_split("test")),
        "mean_level": round(sum(row.mean for row in manifest.rows) / max(1, len(manifest.rows)), 6),
        "unaccounted": off,
        "empty_class_folders": ", ".join(manifest.empty_folders),
    }


def _parameters(manifest: Manifest, contract: ContractConfig) -> dict[str, Any]:
    """What the suite's $PARAMETERs stand for: the thresholds, and what follows from the data spec."""
    _, height, width = manifest.spec.shape
    return {
        "heights": [height],
        "widths": [width],
        "modes": [manifest.spec.mode],
        "labels": list(range(len(manifest.spec.classes))) or [-1],
        "min_accepted_share": _rest(contract.max_quarantined_share),
        "min_distinct_share": _rest(contract.max_duplicate_share),
        "min_varied_share": _rest(contract.max_flat_share),
        "min_train_images": contract.min_train_images,
        "min_test_images": contract.min_test_images,
        "min_train_images_per_class": contract.min_train_images_per_class,
        "min_test_images_per_class": contract.min_test_images_per_class,
        "max_class_imbalance": contract.max_class_imbalance,
        "min_mean_level": contract.min_mean_level,
        "max_mean_level": contract.max_mean_level,
    }


def _rest(share: float) -> float:
    return round(1.0 - share, 12)


# -------------------------------------------------------------------------------------------- what is told


def _record(manifest: Manifest, contract: ContractConfig, findings: Sequence[Finding], paths: Paths) -> dict[str, Any]:
    return {
        "passed": not any(finding.stops for finding in findings),
        "counts": asdict(manifest.counts),
        "classes": _classes(manifest),
        "data_set": _data_set(manifest, manifest.counts.quarantined),
        "expectations": [asdict(finding) for finding in findings],
        "thresholds": asdict(contract),
        "manifest_sha256": sha256_file(paths.manifest),
        "suite_sha256": sha256_file(paths.suite),
        "great_expectations": version("great_expectations"),
    }
