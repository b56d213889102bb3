"""What the report shows of the gate's own proof: the model among the controls, on a ruler and in a table."""

from collections.abc import Mapping, Sequence

from ddpm_core.metrics.gate_config import GateConfig
from ddpm_core.metrics.rules import number
from ddpm_core.metrics.verdict import ControlResult, Verdict
from pipelines.tools.report_page import Picture, Row
from pipelines.tools.report_plots import Mark, ruler_picture

Metrics = Mapping[str, float]


def rulers(verdict: Verdict, metrics: Metrics, judges: Sequence[str], gate: GateConfig) -> list[Picture]:
    """A ruler for each judge: the model and every control by e."""
    found = []
    for judge in judges:
        name = f"energy_{judge}"
        marks = [_mark("the model", metrics, name, is_model=True, is_blocked=not verdict.passed)]
        marks += [
            _mark(control.name, control.metrics, name, is_model=False, is_blocked=control.blocked)
            for control in verdict.controls
        ]
        found.append(ruler_picture(judge, marks, gate.max_energy))
    return found


def _mark(words: str, metrics: Metrics, name: str, *, is_model: bool, is_blocked: bool) -> Mark:
    value, low, high = (metrics[f"{name}{end}"] for end in ("", "_low", "_high"))
    return Mark(words, value, low, high, is_model, is_blocked)


def control_rows(verdict: Verdict, metrics: Metrics, judges: Sequence[str]) -> list[Row]:
    """The model and every control, by the measures that the rules about likeness look at."""
    head: Row = ("", *(f"{what} in {judge}" for judge in judges for what in ("e", "lost")), "rough", "refused by")
    rows: list[Row] = [head, ("the model", *_cells(metrics, judges), "")]
    names = [f"energy_{judge}" for judge in judges]
    by_distance = sorted(verdict.controls, key=lambda control: -max(control.metrics[name] for name in names))
    return rows + [(control.words, *_cells(control.metrics, judges), _refused(control)) for control in by_distance]


def _cells(metrics: Metrics, judges: Sequence[str]) -> Row:
    cells = [
        cell for judge in judges for cell in (number(metrics[f"energy_{judge}"]), f"{metrics[f'lost_{judge}']:.0%}")
    ]
    return (*cells, f"{metrics['rough_share']:.0%}")


def _refused(control: ControlResult) -> str:
    if control.blocked:
        return ", ".join(control.blocked_by)
    return "nothing, and no release should pass it" if control.gross else "nothing: the gate cannot see it"
