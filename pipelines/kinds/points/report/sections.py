"""The sections of the report about points, from the table of samples and the manifest."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.report.parts.chart import SERIES, THEMES, legend, plot
from pipelines.report.parts.contrasts import Difference, difference_parts, differences
from pipelines.report.parts.files import ReportInput
from pipelines.report.parts.section import Paragraph, Picture, Section, plots

_AXES = ("x", "y")
_BINS = 40
_MOST_DRAWN = 2000


def sections(given: ReportInput) -> list[Section]:
    table = given.samples.table("samples.csv")
    samples = _points([(row["x"], row["y"]) for row in table])
    labels = np.array([int(row["label"]) for row in table])
    unseen = [row for row in given.rows if row.split == "test"]
    real, real_labels = _points([(row.x, row.y) for row in unseen]), np.array([row.label for row in unseen])
    classes = given.spec.classes if (labels >= 0).all() else ()
    shown = [
        _scatter("samples", (samples, labels), (samples, real), classes),
        _scatter("unseen points", (real, real_labels), (samples, real), classes),
    ]
    words = f"Both are drawn on one scale{', a colour a class' if classes else ''}: the first {_MOST_DRAWN} at most."
    marginals = [_marginal(axis, samples[:, nth], real[:, nth]) for nth, axis in enumerate(_AXES)]
    found = [*_moments(samples, real), *differences(given.metrics, given.record["per_class"], given.spec.classes)]
    return [
        Section("Samples", [*plots(*shown), Paragraph(words, soft=True)]),
        Section(
            "How the samples differ from real points", [*difference_parts(found, "real points"), *plots(*marginals)]
        ),
    ]


def data_facts(given: ReportInput) -> list[tuple[str, str]]:
    scaling = given.spec.scaling
    if scaling is None:
        return []
    return [
        (axis, f"mean {mean:.4g}, standard deviation {std:.4g} of the training points")
        for axis, mean, std in zip(_AXES, scaling.mean, scaling.std, strict=True)
    ]


def _points(values: Sequence[tuple[Any, Any]]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64).reshape(-1, 2)


def _moments(samples: NDArray[np.float64], real: NDArray[np.float64]) -> list[Difference]:
    """Mean and standard deviation along each axis."""
    of: dict[str, Callable[[NDArray[np.float64]], Any]] = {
        "mean": lambda side: side.mean(axis=0),
        "standard deviation": lambda side: side.std(axis=0),
    }
    return [
        Difference(f"{name} of {axis}", float(measure(samples)[nth]), float(measure(real)[nth]), is_share=False)
        for name, measure in of.items()
        for nth, axis in enumerate(_AXES)
    ]


def _scatter(
    title: str,
    cloud: tuple[NDArray[np.float64], NDArray[np.int64]],
    all_of_them: Sequence[NDArray[np.float64]],
    classes: Sequence[str],
) -> Picture:
    """The points of a cloud; the axes hold all of them."""
    points, labels = (side[:_MOST_DRAWN] for side in cloud)
    both = np.concatenate(all_of_them)

    def draw(ax: Any, theme: str) -> None:
        for nth, name in enumerate(classes or ("",)):
            of = points[labels == nth] if classes else points
            colour = SERIES[theme][nth % len(SERIES[theme])]
            ax.plot(of[:, 0], of[:, 1], ".", markersize=2.5, color=colour, label=name or None)
        for limit, nth in ((ax.set_xlim, 0), (ax.set_ylim, 1)):
            low, high = both[:, nth].min(), both[:, nth].max()
            limit(low - 0.05 * (high - low), high + 0.05 * (high - low))
        if len(classes) > 1:
            legend(ax, theme)

    return plot(f"{title.replace(' ', '_')}.png", title, f"{title}, each at its x and y", draw)


def _marginal(axis: str, samples: NDArray[np.float64], real: NDArray[np.float64]) -> Picture:
    """How often values along an axis come, in samples and in unseen points."""
    edges = np.histogram_bin_edges(np.concatenate([samples, real]), bins=_BINS)

    def draw(ax: Any, theme: str) -> None:
        ink, _, line = THEMES[theme]
        for values, colour, style, name in ((real, ink, "--", "unseen"), (samples, line, "-", "samples")):
            heights, _ = np.histogram(values, bins=edges, density=True)
            ax.stairs(heights, edges, color=colour, linestyle=style, linewidth=1.5, label=name)
        ax.set_xlabel(axis, fontsize=9)
        legend(ax, theme)

    return plot(f"marginal_{axis}.png", f"density of {axis}", f"density of {axis}, of samples and unseen points", draw)
