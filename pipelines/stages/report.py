"""Stage report: write the page that shows the model and its verdict.

It comes before the gate, so that a model that fails has its page too.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.files import atomic_folder, atomic_write_bytes, atomic_write_text
from ddpm_core.gate.config import GateConfig
from ddpm_core.gate.verdict import Verdict
from ddpm_core.metrics.measurement import Measurement
from pipelines.gate.record import judge
from pipelines.kinds import kind_of
from pipelines.kinds.facts import read_facts
from pipelines.kinds.manifest import read_manifest
from pipelines.paths import Paths
from pipelines.report.compared import beside_teacher
from pipelines.report.config import ReportConfig
from pipelines.report.controls import controls_section
from pipelines.report.page import Page, render_html, render_markdown
from pipelines.report.parts.files import ReportInput, SampleFiles, read_json, read_table
from pipelines.report.sections import (
    card_section,
    data_section,
    measures_section,
    provenance_section,
    training_section,
    verdict_section,
)
from pipelines.report.tables import headline
from pipelines.report.validated import validated_sections

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)

PAGE_NAME, MARKDOWN_NAME = "index.html", "report.md"


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Write out/report: index.html, report.md and the pictures that the latter links to."""
    words = params.report.beside(read_facts(paths.source_facts))
    page = gather(words, params.gate, judge(paths, params.gate)[0], paths)
    with atomic_folder(paths.report) as folder:
        atomic_write_text(folder / PAGE_NAME, render_html(page))
        atomic_write_text(folder / MARKDOWN_NAME, render_markdown(page))
        for picture in page.pictures:
            atomic_write_bytes(folder / picture.name, picture.png)
    log.info("report: %s (gate: %s)", paths.report / PAGE_NAME, page.verdict.outcome)
    tracker.publish(paths, params, "report")


def gather(config: ReportConfig, gate: GateConfig, verdict: Verdict, paths: Paths) -> Page:
    """Everything that the page says, from the outputs of the stages before."""
    numbers, record, contract = (read_json(path) for path in (paths.metrics, paths.record, paths.contract))
    metrics, manifest, samples = (
        Measurement(numbers, record).listed,
        read_manifest(paths.manifest),
        SampleFiles(paths.samples),
    )
    kind = kind_of(manifest.spec.kind)
    given = ReportInput(metrics, record, gate, samples, manifest.spec, manifest.rows)
    first, *others = kind.report_sections(given)
    sections = [
        first,
        verdict_section(verdict, metrics),
        controls_section(verdict, metrics, gate),
        *beside_teacher(paths, gate),
        *others,
        measures_section(metrics, record, manifest.spec.classes),
        training_section(_columns(paths.curves), numbers.get("bits_per_dim"), samples),
        data_section(manifest, kind.data_facts(given), contract),
        *validated_sections(paths.validation),
        card_section(config, record),
        provenance_section(record, paths),
    ]
    return Page(config, verdict, headline(metrics), sections)


def _columns(curves: Path) -> dict[str, list[float]]:
    """The columns of curves.csv; an empty cell ends its column's use."""
    rows = read_table(curves)
    names = rows[0].keys() if rows else ()
    return {name: [float(row[name]) for row in rows] for name in names if all(row[name] for row in rows)}
