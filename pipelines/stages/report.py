"""Stage report: one page about the model that was measured, its verdict by today's rules included.

It comes before the gate, so that a model that fails has its page too.
"""

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import DataError
from ddpm_core.files import atomic_folder, atomic_write_bytes, atomic_write_text, sha256_file
from ddpm_core.gate.config import GateConfig
from ddpm_core.gate.rules import number
from ddpm_core.gate.verdict import Verdict
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.metric import Metric
from pipelines.gate.record import judge
from pipelines.kinds.facts import read_facts
from pipelines.kinds.manifest import Manifest, read_manifest
from pipelines.paths import Paths
from pipelines.report.config import ReportConfig
from pipelines.report.controls import control_rows, rulers
from pipelines.report.page import Captioned, Differences, Page, Picture, Row, Steps, render_html, render_markdown
from pipelines.report.plots import (
    QualityLine,
    bound_picture,
    classes_picture,
    curves_pictures,
    level_loss_picture,
    levels_picture,
    quality_picture,
)
from pipelines.report.tables import (
    class_rows,
    difference_rows,
    difference_summary,
    differences,
    distance_rows,
    headline,
    measure_rows,
    steps_rows,
)

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
    numbers, record, contract = (_json(path) for path in (paths.metrics, paths.record, paths.contract))
    metrics = Measurement(numbers, record).listed
    conditions, provenance = record["conditions"], record["provenance"]
    manifest = read_manifest(paths.manifest)
    classes = manifest.spec.classes
    counts = {split: _class_counts(manifest, split) for split in ("train", "test")}
    listed = json.loads(_bytes(paths.samples / "neighbours.json"))
    curves = _columns(paths.curves)
    return Page(
        config=config,
        verdict=verdict,
        headline=headline(metrics),
        samples=_picture(paths, "grid.png", "samples of the model"),
        real=_picture(paths, "real.png", "real training images"),
        classes=classes if conditions["conditional"] else (),
        rulers=rulers(verdict, metrics, gate),
        controls=control_rows(verdict, metrics, gate),
        lost=_lost(metrics, paths),
        roughness=_picture(paths, "roughness.png", "the roughest and the smoothest samples"),
        differences=_differences(metrics, record, classes, paths),
        steps=_steps(gate, paths),
        trajectory=_trajectory(paths, classes),
        curves=curves_pictures(curves),
        by_level=[plot for plot in (level_loss_picture(curves), _bound(paths)) if plot is not None],
        by_level_words=_by_level_words(numbers),
        distances=distance_rows(metrics),
        measures=measure_rows(metrics),
        by_class=class_rows(record["per_class"], classes),
        left_out=conditions["not_measured"],
        neighbours_closest=_picture(paths, "neighbours_closest.png", "samples above their nearest training images"),
        neighbours_first=_picture(paths, "neighbours_first.png", "the first samples above their nearest images"),
        neighbour_rows=[
            ("seed", "key of the training image", "distance in levels"),
            *((str(row["seed"]), row["key"], number(row["distance"])) for row in listed),
        ],
        data=_data_facts(manifest, conditions),
        classes_plot=classes_picture(classes, counts),
        contract_passed=bool(contract["passed"]),
        contract=_contract_rows(contract),
        card=_card(config, conditions, provenance, manifest),
        digests=_digests(paths, conditions, provenance),
    )


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path}: the report shows this file, but it is missing; run `dvc repro report`")
    return path.read_bytes()


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(_bytes(path))
    return value


def _picture(paths: Paths, name: str, alt: str) -> Picture:
    return Picture(name, alt, _bytes(paths.samples / name))


def _columns(path: Path) -> dict[str, list[float]]:
    """The columns of curves.csv; an empty cell ends its column's use."""
    rows = list(csv.DictReader(_bytes(path).decode().splitlines()))
    names = rows[0].keys() if rows else ()
    return {name: [float(row[name]) for row in rows] for name in names if all(row[name] for row in rows)}


def _rows(path: Path) -> list[dict[str, str]]:
    """A table of out/samples; none where it was not asked for."""
    return list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []


def _differences(
    metrics: Sequence[Metric], record: Mapping[str, Any], classes: Sequence[str], paths: Paths
) -> Differences:
    levels = _rows(paths.samples / "levels.csv")
    samples, unseen = ([float(row[side]) for row in levels] for side in ("samples", "unseen"))
    rows = differences(metrics, record["per_class"], classes, samples, unseen)
    return Differences(difference_summary(rows), difference_rows(rows), levels_picture(samples, unseen))


def _lost(metrics: Sequence[Metric], paths: Paths) -> list[Captioned]:
    """Unseen pictures of the regions that the samples have lost, in the features of each judge that has any."""
    return [
        Captioned(
            _picture(
                paths, f"{metric.name}.png", f"unseen images of regions lost in the features of {metric.features}"
            ),
            f"Unseen images of the largest regions that samples hardly reach, a row a region, by {by}: "
            f"{metric.value:.1%} of all unseen images lie in such regions",
        )
        for metric in metrics
        if (by := metric.features) and (paths.samples / f"{metric.name}.png").is_file()
    ]


def _steps(gate: GateConfig, paths: Paths) -> Steps:
    rows = _rows(paths.samples / "by_steps.csv")
    if not rows:
        return Steps.none()
    first = rows[0]["judge"]
    strips = [
        Captioned(
            _picture(paths, f"steps_{row['steps']}.png", f"samples at {row['steps']} steps"),
            f"{row['steps']} steps, {row['evaluations']} network evaluations a sample",
        )
        for row in rows
        if row["judge"] == first
    ]
    lines = [_quality(name, rows) for name in dict.fromkeys(row["judge"] for row in rows)]
    return Steps(int(rows[0]["images"]), steps_rows(rows), strips, quality_picture(lines, gate.max_energy))


def _quality(name: str, rows: Sequence[Mapping[str, str]]) -> QualityLine:
    its = [row for row in rows if row["judge"] == name]
    value, low, high = ([float(row[column]) for row in its] for column in ("energy", "low", "high"))
    own = next(int(row["evaluations"]) for row in its if row["own"] == "1")
    return QualityLine(name, [int(row["evaluations"]) for row in its], value, low, high, own)


def _trajectory(paths: Paths, classes: Sequence[str]) -> Captioned | None:
    if not (paths.samples / "trajectory.json").is_file():
        return None
    about = _json(paths.samples / "trajectory.json")
    seeds = ", ".join(
        f"{seed} ({classes[label]})" if label >= 0 else str(seed)
        for seed, label in zip(about["seeds"], about["labels"], strict=True)
    )
    rows = about["rows"]
    which = f"each of the {about['of']}" if len(rows) == about["of"] else f"{len(rows)} of the {about['of']}"
    words = (
        f"From left to right after {which} rows of the sampler's plan, where the level of noise is t = "
        f"{', '.join(map(str, about['levels']))} of {about['T']}. Of each sample x_t above; below it x0_hat, the clean "
        f"picture that the network saw behind the noise. Seeds {seeds}."
    )
    return Captioned(_picture(paths, "trajectory.png", "samples on their way from noise to picture"), words)


def _bound(paths: Paths) -> Picture | None:
    rows = _rows(paths.samples / "bound.csv")
    t, bits, pictures = ([float(row[name]) for row in rows] for name in ("t", "bits_per_dim", "pictures"))
    return bound_picture(t, bits, pictures)


def _by_level_words(numbers: Mapping[str, float]) -> str:
    words = "The levels of noise in four equal quarters: where the training's loss falls, and where it stays."
    if "bits_per_dim" not in numbers:
        return words
    return (
        f"{words} The terms of the bound on unseen pictures are what each level costs: L_0 at t = 1, then L_(t-1). "
        f"Summed over all t, with L_T, they come to {number(numbers['bits_per_dim'])} bits per dimension."
    )


def _class_counts(manifest: Manifest, split: str) -> list[int]:
    labels = [row.label for row in manifest.of_split(split)]
    return [labels.count(label) for label in range(len(manifest.spec.classes))]


def _data_facts(manifest: Manifest, conditions: Mapping[str, Any]) -> list[Row]:
    spec, counts = manifest.spec, manifest.counts
    rows = manifest.rows
    facts: list[Row] = [
        ("pictures", f"{counts.found} found = {counts.accepted} accepted + {counts.quarantined} in quarantine"),
        ("splits", f"{len(manifest.of_split('train'))} train, {len(manifest.of_split('test'))} test"),
        ("shape", " x ".join(map(str, spec.shape)) + " (channels, height, width)"),
        ("classes", f"{len(spec.classes)}: {', '.join(spec.classes)}" if spec.classes else "none"),
    ]
    if rows:
        mean = sum(row.mean for row in rows) / len(rows)
        spread = sum(row.std for row in rows) / len(rows)
        facts.append(("levels", f"mean {mean:.1f}, spread within a picture {spread:.1f}, of 0 to 255"))
    facts.append(("classifier", conditions["classifier"]["reason"]))
    return facts


def _card(
    config: ReportConfig, conditions: Mapping[str, Any], provenance: Mapping[str, Any], manifest: Manifest
) -> list[Row]:
    sampler = ", ".join(f"{key} {value}" for key, value in conditions["sampler"].items())
    guidance = ", ".join(f"{key} {value}" for key, value in conditions["guidance"].items())
    extractors = "; ".join(f"{extractor['name']} ({extractor['preprocess']})" for extractor in conditions["extractors"])
    return [
        *([] if config.title is not None else [("title", config.said("title"))]),
        ("intended use", config.said("intended_use")),
        ("limits", config.said("limits")),
        ("licence of the data", config.said("data_licence")),
        ("takes a label", "yes" if conditions["conditional"] else "no"),
        ("sampler", sampler),
        ("guidance", guidance),
        ("features", extractors),
        ("measured on", f"{provenance['devices']['sampler']}, {provenance['threads']} threads"),
        ("libraries", ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())),
    ]


def _digests(paths: Paths, conditions: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[Row]:
    return [
        ("bundle", provenance["bundle"]),
        ("data", conditions["data"]),
        ("reference", conditions["reference"]),
        *((f"extractor {extractor['name']}", extractor["sha256"]) for extractor in conditions["extractors"]),
        ("samples", provenance["images_sha256"]),
        ("metrics.json", sha256_file(paths.metrics)),
        ("record.json", sha256_file(paths.record)),
        *(
            (f"from bundle: {name}", str(value))
            for name, value in sorted(provenance["bundle_provenance"].items())
            if isinstance(value, str | int | float)
        ),
    ]


def _contract_rows(contract: Mapping[str, Any]) -> list[Row]:
    """The contract's expectations, a row each."""
    rows: list[Row] = [("of", "kept", "what must hold")]
    for found in contract["expectations"]:
        kept = "yes" if found["passed"] else f"no ({found['severity']})"
        words = found["says"] if found["passed"] else f"{found['says']}; {found['found']}"
        rows.append((found["table"].replace("_", " "), kept, words))
    return rows
