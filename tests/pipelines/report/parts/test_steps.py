"""Fewer and more steps: the interval, and the labels only where they are known."""

from pipelines.report.parts.steps import costs, steps_rows


def test_steps_show_the_interval_and_the_labels_only_where_they_are_known() -> None:
    row = {"steps": "5", "evaluations": "8", "own": "0", "judge": "inception", "energy": "0.15",
           "low": "0.1", "high": "0.2", "accuracy": ""}  # fmt: skip
    labelled = {**row, "judge": "classifier", "accuracy": "0.5"}
    own = {**row, "steps": "9", "own": "1"}
    text = "0.150 (0.100 to 0.200)"
    rows = [row, labelled, own, {**own, "judge": "classifier"}]
    assert steps_rows(rows) == [
        ("steps", "evaluations", "e in inception", "e in classifier", "right label"),
        ("5", "8", text, text, "50.0%"),
        ("9 (own)", "8", text, text, "-"),
    ]
    assert steps_rows([own]) == [("steps", "evaluations", "e in inception"), ("9 (own)", "8", text)]
    assert list(costs(rows)) == ["5", "9"]
