"""Stage validate: judge the manifest by the data contract; a breach stops the pipeline and names the rows."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ContractFailed
from ddpm_core.files import atomic_folder, atomic_write_json, sha256_file
from pipelines.contract.config import ContractConfig, read_suite
from pipelines.contract.expectations import Finding, judge
from pipelines.kinds import kind_of
from pipelines.kinds.manifest import Manifest, Row, manifest_digest, read_manifest
from pipelines.kinds.quarantine import read_quarantine
from pipelines.paths import Paths
from pipelines.validation import drift
from pipelines.validation.compare import farthest
from pipelines.validation.examples import write_examples, write_page
from pipelines.validation.files import DRIFT, SUMMARY
from pipelines.validation.summary import DataSummary, read_summary, sample_of, summary_of, write_summary
from pipelines.validation.tables import WHOLE, Kept, tables_of

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)

_DRIFT_MEND = "; if the data are as they should be from now on, `ddpm data accept` makes them the measure of drift"


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Judge the manifest, write out/contract.json (and a copy to the logs), out/validation and Data Docs; raise on a
    breach."""
    contract: ContractConfig = params.contract
    manifest = read_manifest(paths.manifest)
    parameters = {
        **contract.parameters(),
        "labels": list(range(len(manifest.spec.classes))) or [-1],
        **kind_of(manifest.spec.kind).suite_parameters(manifest.spec),
    }
    named_by = _named_by(manifest.spec.kind)
    suite = read_suite(
        paths.suite(manifest.spec.kind), tuple(name for name in named_by if name != drift.TABLE), parameters, contract
    )
    suite |= read_suite(drift.SUITE, (drift.TABLE,), parameters, contract)
    data, quarantined = manifest.spec.kind, read_quarantine(paths.quarantine)
    tables = tables_of(manifest, paths.prepared, quarantined, suite[data], named_by[data])
    shutil.rmtree(paths.data_docs, ignore_errors=True)
    whole = replace(manifest, rows=Kept(manifest.rows, [state == WHOLE for state in tables[data]["file"]]))
    accepted, now = read_summary(paths.accepted), summary_of(whole, paths.prepared) if whole.rows else None
    tables[drift.TABLE] = drift.drift_rows(accepted, now, contract.drift) if now else []
    findings = judge(suite, tables, named_by, parameters, contract.rows_named, paths.data_docs)
    record = _record(manifest, tables, findings, contract, paths)
    unlike = _unlike(accepted, now, whole) if drift.is_above(tables[drift.TABLE]) else []
    with atomic_folder(paths.validation) as folder:
        if now:
            write_summary(folder / SUMMARY, now)
        atomic_write_json(folder / DRIFT, {"accepted": accepted is not None, "measures": tables[drift.TABLE]})
        shown = write_examples(folder, paths.prepared, whole, findings, unlike, contract.rows_named)
    atomic_write_json(paths.contract, record)  # the last: where it is about some data, out/validation is too
    atomic_write_json(paths.logs / "contract.json", record)
    write_page(paths.data_docs, paths.validation, shown, tables[drift.TABLE])
    if accepted is None:
        log.info("no data were accepted yet, so drift is not judged; `ddpm data accept` makes these the measure")
    log.info("Data Docs: %s (they fetch scripts from the network when opened)", paths.data_docs / "index.html")
    for finding in findings:
        if not finding.passed and not finding.stops:
            log.warning("%s", finding.told())
    _raise_on_breach(findings, whole, paths)
    kept = sum(finding.passed for finding in findings)
    if kept == len(findings):
        log.info("the data keep all %d expectations", kept)
    else:
        log.info("the data keep %d of %d expectations; the rest are the warnings above", kept, len(findings))


def _record(
    manifest: Manifest,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    findings: Sequence[Finding],
    contract: ContractConfig,
    paths: Paths,
) -> dict[str, Any]:
    """What out/contract.json says."""
    return {
        "passed": not any(finding.stops for finding in findings),
        "counts": asdict(manifest.counts),
        "classes": tables["classes"],
        "data_set": tables["data_set"][0],
        "expectations": [asdict(finding) for finding in findings if finding.table != drift.TABLE],
        "thresholds": contract.thresholds(),
        "manifest_sha256": manifest_digest(paths.manifest),
        "suite_sha256": sha256_file(paths.suite(manifest.spec.kind)),
        "great_expectations": version("great_expectations"),
    }


def _raise_on_breach(findings: Sequence[Finding], whole: Manifest, paths: Paths) -> None:
    broken = [finding for finding in findings if finding.stops]
    if broken:
        data = whole.spec.kind
        columns = {finding.column for finding in broken if finding.table == data}
        cure = kind_of(data).cure(columns, whole.rows, whole.spec, paths.prepared)
        raise ContractFailed(
            f"the data break {len(broken)} of {len(findings)} expectations, so nothing is trained on them:\n"
            + "".join(f"  {finding.told()}\n" for finding in broken)
            + f"{cure}, or move the threshold in section `contract` of params.yaml; the record: "
            f"{paths.logs / 'contract.json'}"
            + (_DRIFT_MEND if any(finding.table == drift.TABLE for finding in broken) else "")
        )


# ------------------------------------------------------------------------------------------ what is looked at


def _unlike(accepted: DataSummary | None, now: DataSummary | None, manifest: Manifest) -> list[Row]:
    """Of the rows whose features were compared, those the most unlike the accepted data first."""
    if accepted is None or now is None or accepted.features.shape[1] != now.features.shape[1]:
        return []
    rows = sample_of(manifest)
    return [rows[place] for place in farthest(now.features, accepted.features)]


def _named_by(kind: str) -> dict[str, tuple[str, ...]]:
    """The columns that name a row of each table. The table of the data themselves has the name of their kind."""
    return {
        "files": ("source", "reason"),
        kind: ("key", "source"),
        "classes": ("class_name",),
        "data_set": ("name",),
        drift.TABLE: drift.NAMED_BY,
    }
