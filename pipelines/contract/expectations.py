"""The data contract, judged by Great Expectations: a suite in a file, tables, thresholds; findings name the rows."""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm_core.errors import ParamsError
from pipelines.contract.config import identity

Table = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
"""Rows, or columns by name."""


@dataclass(frozen=True)
class Finding:
    """What became of one expectation: how many rows were looked at, how many break it, and the first of those.

    `says` is what must hold, with its limit; `found` is what was found instead, empty where the expectation is kept.
    """

    table: str
    type: str
    column: str
    says: str
    found: str
    severity: str
    passed: bool
    required: Mapping[str, Any]
    checked: int
    breaches: int
    rows: Sequence[Mapping[str, Any]]

    @property
    def stops(self) -> bool:
        return not self.passed and self.severity == "critical"

    def told(self) -> str:
        """One line: what must hold and its limit, what was found, and the first rows that break it."""
        rows = "; ".join(
            ", ".join(f"{name} {value}" for name, value in row.items() if value is not False) for row in self.rows
        )
        more = self.breaches - len(self.rows)
        rows += f"; and {more:,} more" if more > 0 else ""
        one = self.checked == 1 and self.table == "data_set"  # its only row is what was found
        return f"{self.table.replace('_', ' ')}: {self.says}; {self.found}" + ("" if one or not rows else f": {rows}")


def judge(
    suite: Mapping[str, list[dict[str, Any]]],
    tables: Mapping[str, Table],
    named_by: Mapping[str, Sequence[str]],
    parameters: Mapping[str, Any],
    rows_named: int,
    docs: Path,
) -> list[Finding]:
    """Judge every table by its expectations, in the suite's order, and write Data Docs. `named_by`: a row's names."""
    import pandas as pd

    context = _quiet_context(docs)
    source = context.data_sources.add_pandas("data")
    findings = []
    for table, expectations in suite.items():
        frame = pd.DataFrame(tables[table])
        if frame.empty:  # no rows: nothing can break
            findings += [_finding(table, each, parameters, [], None, rows_named) for each in expectations]
            continue
        results = _run(context, source, table, expectations, frame, named_by[table], parameters)
        for each in expectations:
            result = results.get(identity(each))
            if result is None:  # Great Expectations leaves out what it does not know, with a line in its log
                raise ParamsError(
                    f"suite.json: {each['type']} of table {table} was not judged: its type or its kwargs are not "
                    "known to Great Expectations"
                )
            findings.append(_finding(table, each, parameters, named_by[table], result, rows_named))
    context.build_data_docs()
    return findings


def _quiet_context(docs: Path) -> Any:
    """A context in memory that reports to nobody, shows no bars and writes its pages to `docs`."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    for name in ("great_expectations", "great_expectations.data_context.types.base"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is raised by us
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    for name, site in list(context.list_data_docs_sites().items()):  # one in a temporary folder that nobody clears
        context.delete_data_docs_site(name)
        shutil.rmtree(site["store_backend"]["base_directory"], ignore_errors=True)
    context.add_data_docs_site(
        "local",
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        },
    )
    return context


def _run(
    context: Any,
    source: Any,
    table: str,
    expectations: list[dict[str, Any]],
    frame: Any,
    named_by: Sequence[str],
    parameters: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """The results of one table, by the identity of their expectation."""
    import great_expectations as gx
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
    try:
        rules = context.suites.add(gx.ExpectationSuite(name=table, expectations=expectations))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=table, data=batch, suite=rules))
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=table,
                validation_definitions=[definition],
                actions=[],
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": list(named_by)},
            )
        )
        outcome = checkpoint.run(batch_parameters={"dataframe": frame}, expectation_parameters=dict(parameters))
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise ParamsError(f"suite.json: the expectations of table {table} cannot be judged: {error}") from error
    results = {}
    for validation in outcome.run_results.values():
        for result in validation.to_json_dict()["results"]:
            config = result["expectation_config"]
            if "element_count" not in result["result"]:
                raise ParamsError(
                    f"suite.json: {config['type']} of table {table} cannot be judged: "
                    f"{_first_message(result['exception_info'])}"
                )
            results[identity(config)] = result
    return results


def _first_message(info: Any) -> str:
    """What went wrong, out of the nest of records that Great Expectations makes of an exception."""
    if isinstance(info, Mapping):
        if info.get("exception_message"):
            return str(info["exception_message"])
        return next((text for part in info.values() if (text := _first_message(part))), "")
    return ""


def _finding(
    table: str,
    expectation: Mapping[str, Any],
    parameters: Mapping[str, Any],
    named_by: Sequence[str],
    result: Mapping[str, Any] | None,
    rows_named: int,
) -> Finding:
    required = {
        name: parameters[value["$PARAMETER"]] if isinstance(value, dict) else value
        for name, value in expectation["kwargs"].items()
        if name != "column"
    }
    column = expectation["kwargs"]["column"]
    figures = result["result"] if result else {}
    broken = figures.get("unexpected_index_list") or []
    checked, breaches = int(figures.get("element_count", 0)), int(figures.get("unexpected_count", 0))
    passed = bool(result["success"]) if result else True
    first = [{name: row[name] for name in (*named_by, column)} for row in broken]
    found = "" if passed else _found(table, column, required.get("mostly"), checked, breaches, first)
    return Finding(
        table=table,
        type=expectation["type"],
        column=column,
        says=expectation["notes"],
        found=found,
        severity=expectation["severity"],
        passed=passed,
        required=required,
        checked=checked,
        breaches=breaches,
        rows=first[:rows_named],
    )


def _found(
    table: str, column: str, mostly: float | None, checked: int, breaches: int, rows: Sequence[Mapping[str, Any]]
) -> str:
    """What was found where an expectation is broken: a share beside its limit, the one value, or how many rows."""
    if mostly is not None:
        return f"found {_share_above(breaches / max(1, checked), 1 - mostly)}: {breaches:,} of {checked:,}"
    if table == "data_set" and rows:
        return f"found {column} {rows[0][column]}"
    return f"not so for {breaches:,} of {checked:,}"


def _share_above(share: float, limit: float) -> str:
    """A share in percent, to the first digit, or to as many as show that it lies above the limit."""
    texts = (f"{100 * share:.{digits}f}" for digits in range(1, 12))
    return next((text for text in texts if float(text) > 100 * limit + 1e-12), f"{100 * share}") + " %"
