"""The report's tables: what differs from real pictures is said, what does not is not."""

from pipelines.tools.report_tables import difference_rows, difference_summary, differences, steps_rows

CLEAN = [0.8] + [0.2 / 255] * 255
DIRTY = [0.2, 0.3, 0.3] + [0.2 / 253] * 253


def test_a_background_a_level_too_bright_is_said_plainly() -> None:
    found = differences({}, (), {}, (), DIRTY, CLEAN)
    assert difference_summary(found).startswith(
        "Apart from real pictures by more than 20%: values at level 0 (20.0% against 80.0%)"
    )
    table = {row[0]: row[1:4] for row in difference_rows(found)}
    assert table["values at level 0"] == ("20.0%", "80.0%", "0.25 x")
    assert table["values at most 8"] == ("80.5%", "80.6%", "1.00 x")


def test_a_class_of_like_samples_is_named() -> None:
    found = differences({}, ("fcd",), {"fcd_diversity": [1.1, 0.34, None]}, ("a", "b", "c"), (), ())
    assert [one.what for one in found] == ["diversity of class b in fcd"]
    assert "diversity of class b in fcd (0.34 against 1)" in difference_summary(found)


def test_where_nothing_differs_the_summary_says_that() -> None:
    metrics = {"accuracy_asked": 0.97, "accuracy_heldout": 0.98, "constant_share": 0.0, "constant_share_heldout": 0.0}
    found = differences(metrics, ("fcd",), {"fcd_diversity": [0.9, 1.1]}, ("a", "b"), CLEAN, CLEAN)
    assert (
        difference_summary(found)
        == "No measure of this table differs from that of real pictures by more than 20% of it."
    )
    rows = difference_rows(found)
    assert ("images of one colour", "0.0%", "0.0%", "-", "") in rows
    assert [row[0] for row in rows if row[0].startswith("diversity")] == ["diversity of class a in fcd"]


def test_measures_stand_beside_what_real_images_score() -> None:
    metrics = {f"fcd_{what}{end}": 0.5 for what in ("coverage", "density") for end in ("", "_real")}
    found = differences(metrics, ("fcd",), {}, (), (), ())
    assert [one.what for one in found] == ["coverage in fcd", "density in fcd"]


def test_a_mesh_is_named_and_blur_is_not_called_one() -> None:
    for mine, mesh in ((1.42, True), (0.5, False)):
        (found,) = differences({"nyquist_energy": mine, "nyquist_energy_heldout": 0.97}, (), {}, (), (), ())
        assert "Nyquist" in found.what
        assert ("mesh" in found.what) is mesh
        assert (found.samples, found.real, found.is_alike) == (mine, 0.97, False)
    (alike,) = differences({"nyquist_energy": 1.0, "nyquist_energy_heldout": 0.97}, (), {}, (), (), ())
    assert alike.is_alike


def test_steps_show_the_interval_and_the_labels_only_where_they_are_known() -> None:
    row = {"steps": "5", "evaluations": "8", "images": "9", "own": "0", "judge": "inception", "energy": "0.15",
           "low": "0.1", "high": "0.2", "accuracy": ""}  # fmt: skip
    labelled = {**row, "judge": "classifier", "accuracy": "0.5"}
    own = {**row, "steps": "9", "own": "1"}
    text = "0.150 (0.100 to 0.200)"
    assert steps_rows([row, labelled, own, {**own, "judge": "classifier"}]) == [
        ("steps", "evaluations", "e in inception", "e in classifier", "right label"),
        ("5", "8", text, text, "50.0%"),
        ("9 (own)", "8", text, text, "-"),
    ]
    assert steps_rows([own]) == [("steps", "evaluations", "e in inception"), ("9 (own)", "8", text)]
