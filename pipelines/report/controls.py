"""What the report shows of the gate's own proof: the model among the controls, on a ruler and in a table."""

from collections.abc import Mapping, Sequence

from ddpm_core.gate.config import GateConfig, limit_of
from ddpm_core.gate.rules import number
from ddpm_core.gate.verdict import ControlResult, Verdict
from ddpm_core.metrics.metric import Metric
from pipelines.report.parts.section import Paragraph, Picture, Row, Section, Table, plots
from pipelines.report.plots import Mark, ruler_plot


def controls_section(verdict: Verdict, metrics: Sequence[Metric], gate: GateConfig) -> Section:
    """What the gate makes of faulty samples."""
    refused = f"{verdict.blind.capitalize()}." if verdict.blind else "Every one of them is refused."
    words = f"Faulty samples made from real data, measured and judged like the model's. {refused}"
    table = Table(_control_rows(verdict, metrics, gate), "noted")
    rulers = plots(*_rulers(verdict, metrics, gate))
    return Section("What the gate can see on these data", [Paragraph(words), *rulers, table])


def _rulers(verdict: Verdict, metrics: Sequence[Metric], gate: GateConfig) -> list[Picture]:
    """A ruler for each measure that the verdict begins with: the model and every control."""
    pictures = []
    for metric, limit in _first(metrics, gate):
        marks = [_mark("the model", metric, is_model=True, is_blocked=not verdict.passed)]
        marks += [
            _mark(control.name, metric.of(control.metrics), is_model=False, is_blocked=control.blocked)
            for control in verdict.controls
        ]
        pictures.append(ruler_plot(metric.features, [mark for mark in marks if mark is not None], limit))
    return pictures


def _first(metrics: Sequence[Metric], gate: GateConfig) -> list[tuple[Metric, float]]:
    """The measures that the verdict begins with, and their limits."""
    ruled = [(metric, metric.rule) for metric in metrics if metric.rule is not None and metric.rule.says]
    limits = [(metric, limit_of(gate, rule.limit)) for metric, rule in ruled if metric.features]
    return [(metric, limit) for metric, limit in limits if limit is not None]


def _mark(words: str, metric: Metric, *, is_model: bool, is_blocked: bool) -> Mark | None:
    ends = metric.interval
    if metric.value is None or ends is None:
        return None
    return Mark(words, metric.value, ends.low, ends.high, is_model, is_blocked)


def _control_rows(verdict: Verdict, metrics: Sequence[Metric], gate: GateConfig) -> list[Row]:
    """The model and every control, by those measures with a rule that controls are tried on which have a short name."""
    shown = [metric for metric in metrics if metric.rule is not None and metric.rule.controls and metric.short]
    first = [metric.name for metric, _ in _first(metrics, gate)]

    def farthest(control: ControlResult) -> float:
        return max((control.metrics[name] for name in first if name in control.metrics), default=0.0)

    def cells(of: Mapping[str, float]) -> Row:
        return tuple(_cell(metric.of(of)) for metric in shown)

    return [
        ("", *(metric.short for metric in shown), "refused by"),
        ("the model", *map(_cell, shown), ""),
        *(
            (control.words, *cells(control.metrics), _refused(control))
            for control in sorted(verdict.controls, key=farthest, reverse=True)
        ),
    ]


def _cell(metric: Metric) -> str:
    return f"{metric.value:.0%}" if metric.share and metric.value is not None else number(metric.value)


def _refused(control: ControlResult) -> str:
    if control.blocked:
        return ", ".join(control.blocked_by)
    return "nothing, and no release should pass it" if control.gross else "nothing: the gate cannot see it"
