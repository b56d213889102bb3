"""Every code by which the service can answer an error stands in a table of docs/serving.md or of docs/serving/."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.support.imports import ROOT

PAGES = [ROOT / "docs" / "serving.md", *sorted((ROOT / "docs" / "serving").glob("*.md"))]
RAISING = ("HttpError", "error_response")
OF_OPENAI = {"authentication_error", "permission_error", "rate_limit_error"}  # their `type`, no codes of ours


def codes_in(file: Path) -> Iterator[str]:
    """The error codes that a file names: after a status, in a table by status, or where one is kept for later."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISING:
            yield from texts_after_a_status(node.args)
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            yield from texts_after_a_status(node.value.elts)
        elif isinstance(node, ast.Dict) and node.keys and all(is_status(key) for key in node.keys):
            yield from texts_in(*(value for value in node.values if isinstance(value, ast.Constant)))
        elif isinstance(node, ast.Assign) and any(is_kept(target) for target in node.targets):
            yield from texts_in(node.value)


def texts_after_a_status(parts: list[ast.expr]) -> Iterator[str]:
    for status, code in pairwise(parts):
        if is_status(status):
            yield from texts_in(code)


def texts_in(*nodes: ast.expr) -> Iterator[str]:
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and re.fullmatch("[a-z_]+", each.value):
                yield each.value


def is_status(node: ast.expr | None) -> bool:
    """404, or the name of a status."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int) and 400 <= node.value < 600
    return isinstance(node, ast.Name) and node.id == "CLIENT_CLOSED_REQUEST"


def is_kept(target: ast.expr) -> bool:
    """`code` or `facts.outcome`."""
    if isinstance(target, ast.Tuple):
        return any(is_kept(each) for each in target.elts)
    return getattr(target, "id", None) == "code" or getattr(target, "attr", None) == "outcome"


def test_every_error_code_of_the_service_is_in_the_docs() -> None:
    serving = ROOT / "pipelines" / "serving"
    codes = {code for file in sorted(serving.rglob("*.py")) for code in codes_in(file)} - OF_OPENAI
    told = {code for page in PAGES for row in rows(page) for code in re.findall(r"`(\w+)`", row)}
    assert {"not_found", "unauthorized", "head_too_large", "client_closed_request", "invalid_value"} <= codes
    assert codes <= told, f"no table of docs/serving*.md has {', '.join(sorted(codes - told))}"


def test_the_page_of_the_inference_protocol_names_its_own_code() -> None:
    assert "`version_not_found`" in (ROOT / "docs" / "serving" / "inference-protocol.md").read_text(encoding="utf-8")


def rows(page: Path) -> list[str]:
    """The rows of its tables of errors: they begin with a status."""
    return re.findall(r"^\| (?:\d{3}|other) \|.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
