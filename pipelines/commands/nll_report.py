"""The output of `ddpm nll`: the table as text, nll.json, and the terms over t as terms.csv and terms.png."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ParamsError
from ddpm_core.files import atomic_write_bytes, atomic_write_text, json_bytes
from pipelines.report.parts.chart import Line, Panel, chart

if TYPE_CHECKING:
    from ddpm_core.likelihood.nll_tables import BoundTable, Estimate, OdeTable

Row = tuple[str, float | None, float | None]
COLUMNS = ("t", "bits_per_dim", "standard_error")


def rows(bound: "BoundTable", ode: "OdeTable | None") -> list[Row]:
    """The table: what, bits per dimension, standard error."""
    named: list[tuple[str, Estimate]] = [
        ("L_T", bound.L_T),
        ("sum of L_{t-1}, t >= 2", bound.L_between),
        ("L_0", bound.L_0),
        ("total (bound)", bound.total),
    ]
    found: list[Row] = [(name, estimate.mean, estimate.standard_error) for name, estimate in named]
    if ode is not None:
        found.append((f"by the ODE, {ode.evaluations} evaluations", ode.bits.mean, ode.bits.standard_error))
        if ode.hutchinson is not None:
            found.append(("  its probes' part of the error", None, ode.hutchinson))
    return found


def table_text(heading: str, table: list[Row]) -> str:
    """The table as text for a terminal."""
    width = max(len(name) for name, _, _ in table)
    lines = [heading, f"{'bits per dimension':<{width}}  {'mean':>10}  {'std. error':>10}"]
    for name, mean, error in table:
        lines.append(f"{name:<{width}}  {_number(mean):>10}  {_number(error):>10}".rstrip())
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def write(folder: Path, heading: str, kind: str, bound: "BoundTable", ode: "OdeTable | None") -> None:
    """All three files, each whole or not at all."""
    try:
        atomic_write_bytes(folder / "nll.json", json_bytes(_content(heading, bound, ode)))
        atomic_write_text(folder / "terms.csv", terms_csv(bound, kind))
        atomic_write_bytes(folder / "terms.png", terms_png(heading, bound))
    except OSError as error:
        raise ParamsError(f"--out: must be a folder that can be written, got {folder}: {error.strerror}") from error


def terms_csv(bound: "BoundTable", kind: str) -> str:
    """A row a level: L_{t-1}, or L_0 where t = 1, and on how many data of this kind it was seen."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, kind])
    for term in bound.terms:
        error = term.bits.standard_error
        writer.writerow([term.t, repr(term.bits.mean), "" if error is None else repr(error), term.data])
    return text.getvalue()


def terms_png(heading: str, bound: "BoundTable") -> bytes:
    """The terms over t, on a logarithmic axis, without those that are not positive."""
    shown = [(term.t, term.bits.mean) for term in bound.terms if term.bits.mean > 0]
    line = Line("", [t for t, _ in shown], [bits for _, bits in shown], markers=len(shown) < 60)
    total = bound.total.mean
    title = f"the bound, {total:.4f} bits/dim, by its terms\n{heading}"
    return chart([Panel(title, "t (t = 1 is $L_0$, the others $L_{t-1}$)", "bits per dimension", [line])])


def _content(heading: str, bound: "BoundTable", ode: "OdeTable | None") -> dict[str, Any]:
    def pair(estimate: "Estimate") -> dict[str, float | None]:
        return {"bits_per_dim": estimate.mean, "standard_error": estimate.standard_error}

    content: dict[str, Any] = {
        "of": heading,
        "L_T": pair(bound.L_T),
        "L_between": pair(bound.L_between),
        "L_0": pair(bound.L_0),
        "total": pair(bound.total),
    }
    if ode is not None:
        content["ode"] = {**pair(ode.bits), "by_probes": ode.hutchinson, "evaluations": ode.evaluations}
    return content
