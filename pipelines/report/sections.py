"""The sections of the report that data of any kind have."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_core.files import sha256_file
from ddpm_core.gate.rules import number
from ddpm_core.gate.verdict import Verdict
from ddpm_core.metrics.metric import Metric
from pipelines.kinds.manifest import Manifest
from pipelines.paths import Paths
from pipelines.report.config import ReportConfig
from pipelines.report.parts.files import SampleFiles
from pipelines.report.parts.section import Facts, Heading, Paragraph, Part, Row, Section, Table, outcomes_table, plots
from pipelines.report.plots import bound_plot, classes_plot, curve_plots, level_loss_plot
from pipelines.report.tables import class_rows, distance_rows, measure_rows

_VERDICT = (
    "A rule passes where the whole interval keeps its limit, and fails where none of it does. One rule that fails, or "
    "cannot be judged, blocks the model."
)
_E = (
    "e is the energy distance in units of the distance between two real examples: "
    "0 for real data, 0.1 for ten examples repeated for ever, 1 for a single one."
)
_DISTANCES = (
    "A distance is 0 for equal distributions; the floor is what real data score, and the ratio compares the "
    "two. How large a good ratio is differs from data set to data set, so the gate judges e. In brackets the interval "
    "that another draw of as many samples would come to; on the right that of infinitely many, whose distance has no "
    "bias."
)
_BY_LEVEL = "The levels of noise in four equal quarters: where the training's loss falls, and where it stays."


def verdict_section(verdict: Verdict, metrics: Sequence[Metric]) -> Section:
    judged_by_e = any(metric.rule and metric.rule.says and metric.features for metric in metrics)
    words = f"{_VERDICT} {_E}" if judged_by_e else _VERDICT
    tells = [Paragraph(f"{verdict.tells}.", soft=True)] if verdict.tells else []
    return Section("Verdict", [Paragraph(words), outcomes_table(verdict.rules), *tells])


def measures_section(metrics: Sequence[Metric], record: Mapping[str, Any], classes: Sequence[str]) -> Section:
    """Distances and classes, where there are any, and all other numbers."""
    parts: list[Part] = []
    if len(distances := distance_rows(metrics)) > 1:
        parts += [Heading("Distances"), Paragraph(_DISTANCES), Table(distances)]
    if len(by_class := class_rows(record["per_class"], classes)) > 1:
        words = [f"{m.by_class}: {m.contrast[1]}." for m in metrics if m.by_class and m.contrast and m.contrast[1]]
        parts += [Heading("By class"), *map(Paragraph, words), Table(by_class)]
    parts += [Heading("All others"), Table(measure_rows(metrics), "rules")]
    left_out = record["conditions"]["not_measured"].items()
    parts += [Paragraph(f"{name} was not measured: {why}.", soft=True) for name, why in left_out]
    return Section("Measures", parts)


def training_section(columns: Mapping[str, Sequence[float]], bits: float | None, samples: SampleFiles) -> Section:
    """The curves, and over the levels of noise the loss and the terms of the bound, which come to `bits`."""
    parts = plots(*curve_plots(columns)) or [Paragraph("The curve has fewer than two points.", soft=True)]
    # t, bits per dimension, standard error, how many examples were drawn at that level
    terms = [list(row.values()) for row in samples.table("bound.csv")]
    bound = bound_plot(*([float(term[place]) for term in terms] for place in (0, 1, 3)))
    if by_level := plots(level_loss_plot(columns), bound):
        words = _BY_LEVEL
        if bits is not None:
            words += (
                " The terms of the bound on unseen data are what each level costs: L_0 at t = 1, then L_(t-1). Summed "
                f"over all t, with L_T, they come to {number(bits)} bits per dimension."
            )
        parts += [Heading("Over the levels of noise"), Paragraph(words), *by_level]
    return Section("Training", parts)


def data_section(manifest: Manifest, facts: Sequence[Row], contract: Mapping[str, Any]) -> Section:
    """What was found and kept, `facts` of the kind of data, the classes and the contract."""
    spec, counts = manifest.spec, manifest.counts
    splits = {split: Counter(row.label for row in manifest.of_split(split)) for split in ("train", "test")}
    sizes = {split: [labels[label] for label in range(len(spec.classes))] for split, labels in splits.items()}
    rows: list[Row] = [
        (spec.kind, f"{counts.found} found = {counts.accepted} accepted + {counts.quarantined} in quarantine"),
        ("splits", ", ".join(f"{labels.total()} {split}" for split, labels in splits.items())),
        ("classes", f"{len(spec.classes)}: {', '.join(spec.classes)}" if spec.classes else "none"),
        *facts,
    ]
    passed = bool(contract["passed"])
    return Section(
        "Data",
        [
            Facts(rows),
            *plots(classes_plot(spec.classes, sizes)),
            Heading("Contract", "kept" if passed else "broken", passed),
            Table(_contract_rows(contract), "rules"),
        ],
    )


def _contract_rows(contract: Mapping[str, Any]) -> list[Row]:
    """The contract's expectations, a row each."""
    rows: list[Row] = [("of", "kept", "what must hold")]
    for found in contract["expectations"]:
        kept = "yes" if found["passed"] else f"no ({found['severity']})"
        words = found["says"] if found["passed"] else f"{found['says']}; {found['found']}"
        rows.append((found["table"].replace("_", " "), kept, words))
    return rows


def card_section(config: ReportConfig, record: Mapping[str, Any]) -> Section:
    """What the model is for and how it was measured."""
    conditions, provenance = record["conditions"], record["provenance"]
    features = "; ".join(f"{each['name']} ({each['preprocess']})" for each in conditions.get("extractors", ()))

    def listed(of: Mapping[str, Any]) -> str:
        return ", ".join(f"{key} {value}" for key, value in of.items())

    rows: list[Row] = [
        *([] if config.title is not None else [("title", config.said("title"))]),
        ("intended use", config.said("intended_use")),
        ("limits", config.said("limits")),
        ("licence of the data", config.said("data_licence")),
        ("takes a label", "yes" if conditions["conditional"] else "no"),
        ("sampler", listed(conditions["sampler"])),
        ("guidance", listed(conditions["guidance"])),
        *([("features", features)] if features else []),
        ("measured on", f"{provenance['devices']['sampler']}, {provenance['threads']} threads"),
        ("libraries", listed(conditions["versions"])),
    ]
    return Section("Card", [Facts(rows)])


def provenance_section(record: Mapping[str, Any], paths: Paths) -> Section:
    """The digests of all that was measured."""
    conditions, provenance = record["conditions"], record["provenance"]
    rows: list[Row] = [
        ("bundle", provenance["bundle"]),
        ("data", conditions["data"]),
        ("reference", conditions["reference"]),
        *((f"extractor {each['name']}", each["sha256"]) for each in conditions.get("extractors", ())),
        ("samples", provenance["samples_sha256"]),
        ("metrics.json", sha256_file(paths.metrics)),
        ("record.json", sha256_file(paths.record)),
        *(
            (f"from bundle: {name}", str(value))
            for name, value in sorted(provenance["bundle_provenance"].items())
            if isinstance(value, str | int | float)
        ),
    ]
    return Section("Provenance", [Paragraph("Equal digests, equal bytes."), Facts(rows, code=True)])
