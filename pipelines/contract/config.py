"""The contract of the data: the thresholds of every kind, and the suite of expectations that names them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from ddpm_core.checks import Checks, Config, at_least_1, fraction
from ddpm_core.errors import ParamsError

# In an expectation's notes: a threshold by its key, or one of the suite's parameters.
_KEY, _PARAMETER = re.compile(r"\bcontract\.(\w+)"), re.compile(r"\$(\w+)")
_SHARE = re.compile(r"max_(\w+)_share")


@dataclass(frozen=True)
class DriftLevels(Config):
    """How far data may be from those accepted last, each from 0 (equal) to 1."""

    fewer: float  # share of the number that is gone
    labels: float  # share of the data that would need another label to have the accepted shares
    values: float  # largest difference between the shares of data below some value
    features: float  # energy distance of features, as a share of twice the mean distance between the two

    __checks__: ClassVar[Checks] = dict.fromkeys(("fewer", "labels", "values", "features"), fraction)


@dataclass(frozen=True)
class DriftConfig(Config):
    """The levels at which drift is told, and at which it stops the pipeline."""

    warning: DriftLevels
    breach: DriftLevels

    def faults(self) -> list[str]:
        below, above = asdict(self.warning), asdict(self.breach)
        return [
            f"breach.{name} must be at least warning.{name}, got {above[name]} and {below[name]}"
            for name in below
            if above[name] < below[name]
        ]


@dataclass(frozen=True)
class ContractConfig(Config):
    """What the data must keep, or nothing is trained on them. A kind of data adds thresholds of its own."""

    max_class_imbalance: float
    max_quarantined_share: float
    max_duplicate_share: float
    rows_named: int
    drift: DriftConfig

    __checks__: ClassVar[Checks] = {
        "max_class_imbalance": at_least_1,
        "max_quarantined_share": fraction,
        "max_duplicate_share": fraction,
        "rows_named": at_least_1,
    }

    def thresholds(self) -> dict[str, Any]:
        """All but the levels of drift, which depends on more than the data."""
        return {key: value for key, value in asdict(self).items() if key != "drift"}

    def parameters(self) -> dict[str, Any]:
        """What the suite's $PARAMETERs stand for: each threshold by its key, and beside each `max_X_share` its rest,
        `min_share_not_X`, which is what Great Expectations calls `mostly`."""
        values = self.thresholds()
        shares = {match[1]: values[key] for key in values if (match := _SHARE.fullmatch(key))}
        return {**values, **{f"min_share_not_{of}": round(1.0 - share, 12) for of, share in shares.items()}}


def read_suite(
    path: Path, tables: Sequence[str], parameters: Mapping[str, Any], contract: ContractConfig
) -> dict[str, list[dict[str, Any]]]:
    """The suite file: for each table a list of expectations as Great Expectations writes them, each with its notes.

    `contract.KEY` in the notes becomes the threshold and its key, `$NAME` the parameter of that name.
    """
    if not path.is_file():
        raise ParamsError(
            f"{path}: there must be the suite of expectations, but the file is missing; restore it with git"
        )
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ParamsError(f"{path}: must be JSON, but {error}") from error
    faults = _suite_faults(suite, tables, parameters, contract.thresholds())
    if faults:
        raise ParamsError(f"{path}: the suite of expectations is not well formed: " + "; ".join(faults))
    return {
        table: [
            {**each, "notes": _with_limits(each["notes"], parameters, contract.thresholds())} for each in expectations
        ]
        for table, expectations in suite.items()
    }


def _with_limits(notes: str, parameters: Mapping[str, Any], contract: Mapping[str, Any]) -> str:
    """Notes with every limit that they name, its key behind it."""

    def limit(match: re.Match[str]) -> str:
        key = match[1]
        value = _percent(contract[key]) if key.endswith("_share") else f"{contract[key]:,g}"
        return f"{value} (contract.{key})"

    return _PARAMETER.sub(lambda match: _listed(parameters[match[1]]), _KEY.sub(limit, notes))


def _listed(value: Any) -> str:
    """A parameter as a person says it: `8`, `0 to 9`, `L, RGB`."""
    if not isinstance(value, list):
        return str(value)
    if len(value) > 2 and value == list(range(len(value))):
        return f"0 to {len(value) - 1}"
    return ", ".join(map(str, value))


def _percent(share: float) -> str:
    return f"{100 * share:.6g} %"


def _suite_faults(
    suite: Any, tables: Sequence[str], parameters: Mapping[str, Any], contract: Mapping[str, Any]
) -> list[str]:
    if not isinstance(suite, dict) or set(suite) != set(tables):
        return [f"must be a mapping with exactly the tables {', '.join(tables)}"]
    faults = []
    for table, expectations in suite.items():
        seen: set[str] = set()
        for number, expectation in enumerate(expectations):
            where = f"{table}[{number}]"
            keys = {"type", "kwargs", "severity", "notes"}
            if not isinstance(expectation, dict) or set(expectation) != keys:
                faults.append(f"{where}: must have exactly the keys {', '.join(sorted(keys))}")
                continue
            if identity(expectation) in seen:
                faults.append(f"{where}: must be the only {expectation['type']} of its column")
            seen.add(identity(expectation))
            for pattern, known in ((_KEY, contract), (_PARAMETER, parameters)):
                faults += [
                    f"{where}.notes: {match[0]} must be one of {', '.join(sorted(known))}"
                    for match in pattern.finditer(str(expectation["notes"]))
                    if match[1] not in known
                ]
            for name, value in expectation["kwargs"].items():
                if isinstance(value, dict) and value.get("$PARAMETER") not in parameters:
                    faults.append(
                        f"{where}.kwargs.{name}: $PARAMETER must be one of {', '.join(sorted(parameters))}, got "
                        f"{value.get('$PARAMETER')!r}"
                    )
    return faults


def identity(expectation: Mapping[str, Any]) -> str:
    return f"{expectation['type']} {expectation['kwargs'].get('column')}"
