"""The tables of benchmarks/gate_trial.py, from its results by data set."""

from collections.abc import Mapping
from typing import Any

from common import table

Results = Mapping[str, Any]
_SHORT = {"efficientnet_lite0": "eff", "classifier": "cls"}


def tables(results: Results) -> str:
    """Real pictures, controls and models of all data sets, in Markdown."""
    sizes = sorted({int(size) for found in results.values() for size in found["sizes"]})
    parts = ["Real pictures beside others:", _real(results, sizes)]
    parts += ["Controls blocked, of all draws on all data sets:", _controls(results, sizes)]
    parts += ["Mean e of the controls by EfficientNet and by the classifier, n = 250:", _energies(results, "250")]
    parts += ["Models:", _models(results)]
    return "\n\n".join(parts) + "\n"


def _cells(results: Results, n: str) -> dict[str, Any]:
    return {name: found["sizes"][n] for name, found in results.items() if n in found["sizes"]}


def _real(results: Results, sizes: list[int]) -> str:
    rows = []
    for n in sizes:
        for name, found in _cells(results, str(n)).items():
            real = found["real"]
            outcomes, splits = real["outcomes"], real["splits"]
            spread = "; ".join(f"{_SHORT[j]} {mean:+.3f} ± {sd:.3f}" for j, (mean, sd) in real["energy"].items())
            off = "; ".join(f"{_SHORT[j]} {real['off'].get(j, 0) / splits:.0%}" for j in found["judges"])
            why = ", ".join(f"{rule} {times}" for rule, times in sorted(real["against"].items(), key=lambda x: -x[1]))
            counts = [f"{outcomes.get(what, 0) / splits:.1%}" for what in ("pass", "fail")]
            rows.append([name, str(n), *counts, spread, off, why])
    return table(["data", "n", "pass", "fail", "e, mean ± deviation", "intervals off 0", "what did not pass"], rows)


def _controls(results: Results, sizes: list[int]) -> str:
    """A row for each control; of those that passed somewhere, where and how often."""
    names = dict.fromkeys(
        name for n in sizes for found in _cells(results, str(n)).values() for name in found["controls"]
    )
    rows = []
    for name in names:
        cells, passed = [], []
        for n in sizes:
            of = {data: found["controls"].get(name) for data, found in _cells(results, str(n)).items()}
            let_by = {data: each["outcomes"].get("pass", 0) for data, each in of.items() if each}
            draws = sum(each["draws"] for each in of.values() if each)
            failed = sum(each["outcomes"].get("fail", 0) for each in of.values() if each)
            cells.append(f"{draws - sum(let_by.values())} / {draws} ({failed} fail)")
            passed += [f"{data} {times} at n = {n}" for data, times in let_by.items() if times]
        rows.append([name, *cells, ", ".join(passed)])
    return table(["control", *(f"n = {n}" for n in sizes), "passed"], rows)


def _energies(results: Results, n: str) -> str:
    cells = _cells(results, n)
    names = list(dict.fromkeys(name for found in cells.values() for name in found["controls"]))

    def cell(found: Any, name: str) -> str:
        if name not in found["controls"]:
            return "-"
        means = found["controls"][name]["means"]
        both = (f"{means[f'energy_{judge}']:.2f} ({means[f'lost_{judge}']:.2f})" for judge in found["judges"])
        return ", ".join(both)

    rows = [[name, *(cell(found, name) for found in cells.values())] for name in names]
    return table(["control: e (lost)", *cells], rows)


def _models(results: Results) -> str:
    rows = []
    for found in results.values():
        for n, cell in found["sizes"].items():
            for name, model in cell["models"].items():
                means = model["means"]
                values = "; ".join(
                    f"{_SHORT[judge]} e {means[f'energy_{judge}']:.3f}, lost {means[f'lost_{judge}']:.2f}"
                    for judge in cell["judges"]
                )
                outcomes = ", ".join(f"{what} {times}" for what, times in sorted(model["outcomes"].items()))
                why = ", ".join(f"{rule} {times}" for rule, times in sorted(model["against"].items()))
                asked = f"{means['accuracy_asked']:.1%}" if "accuracy_asked" in means else "-"
                rows.append([name, n, outcomes, values, f"{means['rough_share']:.2f}", asked, why])
    return table(["model", "n", "verdicts", "values", "rough", "asked label", "what did not pass"], rows)
