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
    for n in sizes:
        parts += [f"Controls blocked, n = {n}:", _controls(results, str(n))]
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


def _blocked(control: Any) -> str:
    passed = control["outcomes"].get("pass", 0)
    failed = control["outcomes"].get("fail", 0)
    cell = f"{control['draws'] - passed} / {control['draws']}"
    return cell if failed == control["draws"] else f"{cell} ({failed} fail)"


def _controls(results: Results, n: str) -> str:
    cells = _cells(results, n)
    names = list(dict.fromkeys(name for found in cells.values() for name in found["controls"]))
    rows = [
        [name, *(_blocked(found["controls"][name]) if name in found["controls"] else "-" for found in cells.values())]
        for name in names
    ]
    return table(["control", *cells], rows)


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
