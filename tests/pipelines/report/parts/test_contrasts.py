"""Samples beside real data: what differs is said, what does not is not."""

from ddpm_core.metrics.accuracy import accuracy_metric
from ddpm_core.metrics.metric import Metric
from ddpm_core.metrics.pixels import CONSTANT
from pipelines.report.parts.contrasts import Difference, difference_parts, differences
from pipelines.report.parts.section import Paragraph, Row, Table

DIVERSITY = Metric(
    "fcd_diversity_class_min",
    "",
    by_class="fcd_diversity",
    contrast=("diversity of class {label} in fcd", ""),
    value=0.3,
)


def shown(found: list[Difference]) -> tuple[str, list[Row]]:
    """The sentence and the rows."""
    words, table = difference_parts(found, "real data")
    assert isinstance(words, Paragraph)
    assert isinstance(table, Table)
    return words.text, list(table.rows)


def test_a_class_of_like_samples_is_named() -> None:
    found = differences([DIVERSITY], {"fcd_diversity": [1.1, 0.34, None]}, ("a", "b", "c"))
    assert [one.what for one in found] == ["diversity of class b in fcd"]
    assert "diversity of class b in fcd (0.34 against 1)" in shown(found)[0]


def test_where_nothing_differs_the_summary_names_nothing() -> None:
    label = accuracy_metric(3)
    metrics = [
        label.measured(0.97), Metric(label.floor, "", value=0.98), CONSTANT.measured(0.0),
        Metric(CONSTANT.floor, "", value=0.0), DIVERSITY,
    ]  # fmt: skip
    words, rows = shown(differences(metrics, {"fcd_diversity": [0.9, 1.1]}, ("a", "b")))
    assert words.startswith("No measure")
    assert "against" not in words
    assert ("images of one colour", "0.0%", "0.0%", "-", "") in rows
    assert [row[0] for row in rows if row[0].startswith("diversity")] == ["diversity of class a in fcd"]


def test_measures_stand_beside_what_real_data_score() -> None:
    metric = Metric("sharp", "how sharp edges are", floor="sharp_real", contrast=("sharpness", "1 = real"), value=1.42)
    (found,) = differences([metric, Metric("sharp_real", "the same", value=0.97)], {}, ())
    assert (found.what, found.samples, found.real, found.words) == ("sharpness", 1.42, 0.97, "1 = real")
    assert not found.is_alike
    assert differences([metric], {}, ()) == []
