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
from ddpm_core.metrics.verdict import Verdict, number
from pipelines.paths import Paths
from pipelines.tools.manifest import Manifest, read_manifest
from pipelines.tools.measurement import judge
from pipelines.tools.report_page import (
    Page,
    Picture,
    ReportConfig,
    Row,
    classes_picture,
    curves_picture,
    render_html,
    render_markdown,
)

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tools.tracking import Tracker

log = logging.getLogger(__name__)

PAGE_NAME, MARKDOWN_NAME = "index.html", "report.md"

_MEANINGS = {
    "n": "samples",
    **dict.fromkeys(("is", "cis", "score_efficientnet_lite0"), "score: 1 at worst, the number of classes at best"),
    **dict.fromkeys(("kid", "kcd", "kd_efficientnet_lite0"), "kernel distance to unseen images, 0 at best, unbiased"),
    "n_heldout": "unseen real images",
    "n_train": "training images",
    "accuracy_asked": "samples that the classifier calls by the label asked for",
    "accuracy_class_min": "the same, in the class where it is lowest",
    "accuracy_heldout": "unseen real images that the classifier calls by their label",
    "near_share": "samples nearer to a training image than nearly all unseen images are",
    "near_share_heldout": "the same of unseen images",
    "near_chance": "how often chance alone gives so many",
    "lone_share": "samples with one training image far nearer than the next",
    "lone_share_heldout": "the same of unseen images",
    "lone_chance": "how often chance alone gives so many",
    "constant_share": "samples of one single colour",
    "constant_share_heldout": "the same of unseen images",
    "duplicate_share": "samples equal to an earlier one",
    "duplicate_share_heldout": "the same of unseen images",
    "saturated_share": "values at an end of the range, in samples",
    "saturated_share_heldout": "the same in unseen images",
    "bits_per_dim": "bits that the network needs for a value of an unseen image, at most",
    "bits_per_dim_error": "its standard error",
    "golden_difference": "levels by which the bundle's golden image differs when it is made again",
}
_ENDINGS = {
    "_infinity": "distance to train that infinitely many samples would have, by extrapolation",
    "_coverage": "unseen images that samples reach",
    "_coverage_class_min": "samples' reach in the class where it is lowest",
    "_density": "unseen images near a sample, 1 = as dense as the data",
    "_precision": "samples that lie where unseen images do",
    "_recall": "unseen images that lie where samples do",
    "_diversity_class_min": "how far samples of a class lie apart where that is least, 1 = as unseen images",
    **dict.fromkeys(
        ("_coverage_real", "_density_real", "_precision_real", "_recall_real"), "the same of as many training images"
    ),
    "_std": "its standard deviation over subsets",
    "_real": "the same of unseen images",
}


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Write out/report: index.html, report.md and the pictures that the latter links to."""
    page = gather(params.report, judge(paths, params.gate)[0], paths)
    with atomic_folder(paths.report) as folder:
        atomic_write_text(folder / PAGE_NAME, render_html(page))
        atomic_write_text(folder / MARKDOWN_NAME, render_markdown(page))
        for picture in page.pictures:
            atomic_write_bytes(folder / picture.name, picture.png)
    log.info("report: %s (gate: %s)", paths.report / PAGE_NAME, page.verdict.outcome)
    tracker.publish(paths, params, "report")


def gather(config: ReportConfig, verdict: Verdict, paths: Paths) -> Page:
    """Everything that the page says, from the outputs of the stages before."""
    metrics, record, contract = (_json(path) for path in (paths.metrics, paths.record, paths.contract))
    conditions, provenance = record["conditions"], record["provenance"]
    manifest = read_manifest(paths.manifest)
    classes = manifest.spec.classes
    counts = {split: _class_counts(manifest, split) for split in ("train", "test")}
    listed = json.loads(_bytes(paths.samples / "neighbours.json"))
    return Page(
        config=config,
        verdict=verdict,
        headline=_headline(metrics, conditions["distances"]),
        samples=_picture(paths, "grid.png", "samples of the model"),
        real=_picture(paths, "real.png", "real training images"),
        classes=classes if conditions["conditional"] else (),
        curves=curves_picture(_columns(paths.curves)),
        distances=_distance_rows(metrics, conditions["distances"]),
        measures=_measure_rows(metrics, conditions["distances"]),
        by_class=_class_rows(record["per_class"], classes),
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


def _class_counts(manifest: Manifest, split: str) -> list[int]:
    labels = [row.label for row in manifest.of_split(split)]
    return [labels.count(label) for label in range(len(manifest.spec.classes))]


def _headline(metrics: Mapping[str, float], distances: Sequence[str]) -> list[Row]:
    tiles: list[Row] = [
        (f"{name} to {split}, as a multiple of real images'", f"{metrics[f'{name}_ratio_{split}']:.2f} x")
        for name in distances
        for split in ("train", "test")
    ]
    if "accuracy_asked" in metrics:
        tiles.append(("called by the label asked for", f"{metrics['accuracy_asked']:.1%}"))
    tiles.append(("suspected copies of training images", f"{metrics['near_share']:.2%}"))
    tiles.append(("samples judged", f"{metrics['n']:g}"))
    return tiles


def _distance_rows(metrics: Mapping[str, float], distances: Sequence[str]) -> list[Row]:
    rows: list[Row] = [("distance", "to", "samples", "floor", "ratio", "without bias")]
    for name in distances:
        for split, words in (("train", "training images"), ("test", "unseen images")):
            plain = (number(metrics[f"{name}{kind}_{split}"]) for kind in ("", "_floor"))
            ratio = f"{name}_ratio_{split}"
            rows.append(
                (
                    name,
                    words,
                    *plain,
                    _with_ends(metrics, ratio),
                    _ends(metrics, f"{name}_{split}") or "too few samples",
                )
            )
    return rows


def _ends(metrics: Mapping[str, float], name: str) -> str:
    """The interval of a number, where it has one."""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _with_ends(metrics: Mapping[str, float], name: str) -> str:
    ends = _ends(metrics, name)
    return f"{number(metrics[name])} ({ends})" if ends else number(metrics[name])


def _class_rows(per_class: Mapping[str, Sequence[float | None]], classes: Sequence[str]) -> list[Row]:
    """A row a class, a column a measure; "-" where a class has no images to measure by."""
    names = sorted(per_class)
    columns = [per_class[name] for name in names]
    return [
        ("class", *names),
        *((label, *(number(column[place]) for column in columns)) for place, label in enumerate(classes) if names),
    ]


def _measure_rows(metrics: Mapping[str, float], distances: Sequence[str]) -> list[Row]:
    shown = {f"{name}{end}" for name in distances for end in _distance_endings()}
    rest = [name for name in sorted(metrics) if name not in shown and not _is_end(name, metrics)]
    return [("measure", "value", ""), *((name, _with_ends(metrics, name), _meaning(name)) for name in rest)]


def _is_end(name: str, metrics: Mapping[str, float]) -> bool:
    """Whether a number belongs to another one: an end of its interval, or the difference that it tells."""
    return any(name.removesuffix(end) in metrics for end in ("_low", "_high", "_detectable") if name.endswith(end))


def _distance_endings() -> list[str]:
    return [f"{kind}_{split}" for kind in ("", "_floor", "_ratio") for split in ("train", "test")]


def _meaning(name: str) -> str:
    ending = next((text for end, text in _ENDINGS.items() if name.endswith(end)), "")
    return _MEANINGS.get(name, ending)


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
        ("intended use", config.intended_use),
        ("limits", config.limits),
        ("licence of the data", config.data_licence),
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
        words = (
            found["says"] if found["passed"] else f"{found['says']}; {found['breaches']} of {found['checked']} do not"
        )
        rows.append((found["table"].replace("_", " "), kept, words))
    return rows
