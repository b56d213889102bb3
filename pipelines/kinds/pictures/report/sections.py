"""The sections of the report about pictures, from the grids and tables that stage evaluate left in out/samples."""

from collections.abc import Iterator

from ddpm_core.gate.config import limit_of
from ddpm_core.gate.rules import number
from pipelines.kinds.pictures.report.levels import level_differences, levels_plot
from pipelines.kinds.pictures.rows.rules import BACKGROUND
from pipelines.report.parts.contrasts import difference_parts, differences
from pipelines.report.parts.files import ReportInput
from pipelines.report.parts.section import Figure, Figures, Paragraph, Row, Section, Table, plots
from pipelines.report.parts.steps import costs, quality_plot, steps_rows


def sections(given: ReportInput) -> list[Section]:
    return [_samples(given), _lacking(given), _differences(given), *_steps(given), *_trajectory(given), _nearest(given)]


def data_facts(given: ReportInput) -> list[Row]:
    facts: list[Row] = [("shape", " x ".join(map(str, given.spec.shape)) + " (channels, height, width)")]
    facts += [(name, f"{len(of.classes)}: {', '.join(of.classes)}") for name, of in given.spec.attributes.items()]
    if given.spec.channels == 4:
        ground = ", ".join(map(str, given.spec.about[BACKGROUND]))
        facts.append(("transparency", f"kept; shown and judged on the background {ground} (red, green, blue)"))
    if count := len(given.rows):
        mean, spread = (sum(getattr(row, name) for row in given.rows) / count for name in ("mean", "std"))
        facts.append(("levels", f"mean {mean:.1f}, spread within a picture {spread:.1f}, of 0 to 255"))
    return [*facts, ("classifier", given.record["conditions"]["classifier"]["reason"])]


def _samples(given: ReportInput) -> Section:
    classes = given.spec.classes if given.record["conditions"]["conditional"] else ()
    caption = "Made by the model" + (", a row a class" if classes else "")
    rows = f"Rows from the top: {', '.join(classes)}. The samples are the first of each class, not chosen."
    shown = [
        given.samples.figure("grid.png", "samples of the model", caption),
        given.samples.figure("real.png", "real training images", "Real training images"),
    ]
    first = Paragraph(rows if classes else "The first samples, not chosen.", soft=True)
    return Section("Samples", [Figures(shown, "pair"), first, *_attributes(given)])


def _attributes(given: ReportInput) -> Iterator[Figures | Paragraph]:
    """The same samples by each attribute that they were asked for."""
    for name, of in given.spec.attributes.items():
        if given.samples.has(file := f"grid_{name}.png"):
            yield Figures(
                [given.samples.figure(file, f"samples by their {name}", f"The same by {name}, a row a class")]
            )
            yield Paragraph(f"Rows from the top: {', '.join(of.classes)}.", soft=True)


def _lacking(given: ReportInput) -> Section:
    lost = list(_lost_regions(given))
    none = [] if lost else [Paragraph("The samples reach every region of the data.")]
    words = "the roughest samples, and below them the smoothest"
    rough = given.samples.figure("roughness.png", words, words.capitalize())
    return Section("What the samples lack", [*none, Figures([*lost, rough])])


def _lost_regions(given: ReportInput) -> Iterator[Figure]:
    """Unseen pictures of the regions that the samples have lost, in the features of each judge that has any."""
    for metric in given.metrics:
        if metric.features and given.samples.has(name := f"{metric.name}.png"):
            what = (
                f"Unseen images of the largest regions that samples hardly reach, a row a region, by {metric.features}"
            )
            caption = f"{what}: {metric.value:.1%} of all unseen images lie in such regions"
            yield given.samples.figure(
                name, f"unseen images of regions lost in the features of {metric.features}", caption
            )


def _differences(given: ReportInput) -> Section:
    levels = given.samples.table("levels.csv")
    samples, unseen = ([float(row[side]) for row in levels] for side in ("samples", "unseen"))
    found = level_differences(samples, unseen)
    found += differences(given.metrics, given.record["per_class"], given.spec.classes)
    return Section(
        "How the samples differ from real pictures",
        [*difference_parts(found, "real pictures"), *plots(levels_plot(samples, unseen))],
    )


def _steps(given: ReportInput) -> Iterator[Section]:
    rows = given.samples.table("by_steps.csv")
    if not rows:
        return
    text = (
        f"The same seeds and labels at other numbers of steps of the sampler. e is the verdict's, of "
        f"{rows[0]['images']} samples: its mean does not depend on their number, its interval does. Evaluations are "
        "the network's for one sample, two a step where guidance acts."
    )
    strips = [
        given.samples.figure(f"steps_{steps}.png", f"samples at {steps} steps", caption, "strip")
        for steps, caption in costs(rows).items()
    ]
    curve = plots(quality_plot(rows, limit_of(given.gate, "max_energy") or 0.0))
    yield Section("Fewer and more steps", [Paragraph(text), Table(steps_rows(rows)), Figures(strips), *curve])


def _trajectory(given: ReportInput) -> Iterator[Section]:
    if not given.samples.has("trajectory.json"):
        return
    about = given.samples.json("trajectory.json")
    seeds = ", ".join(
        f"{seed} ({given.spec.classes[label]})" if label >= 0 else str(seed)
        for seed, label in zip(about["seeds"], about["labels"], strict=True)
    )
    rows = about["rows"]
    which = f"each of the {about['of']}" if len(rows) == about["of"] else f"{len(rows)} of the {about['of']}"
    words = (
        f"From left to right after {which} rows of the sampler's plan, where the level of noise is t = "
        f"{', '.join(map(str, about['levels']))} of {about['T']}. Of each sample x_t above; below it x0_hat, the clean "
        f"picture that the network saw behind the noise. Seeds {seeds}."
    )
    figure = given.samples.figure("trajectory.png", "samples on their way from noise to picture")
    yield Section("From noise to picture", [Paragraph(words), Figures([figure])])


def _nearest(given: ReportInput) -> Section:
    words, below = "The samples nearest to any training image", "above their nearest training images"
    shown = [
        given.samples.figure("neighbours_closest.png", f"samples {below}", words),
        given.samples.figure("neighbours_first.png", f"the first samples {below}", "The first samples"),
    ]
    rows: list[Row] = [
        ("seed", "key of the training image", "distance in levels"),
        *((str(row["seed"]), row["key"], number(row["distance"])) for row in given.samples.json("neighbours.json")),
    ]
    words = "Above a sample, below it the training image nearest to it in pixels. A copy would look the same twice."
    table = Table(rows, bold_first=False, summary="Seeds, keys and distances of the nearest")
    return Section("Nearest training images", [Paragraph(words), Figures(shown, "pair"), table])
