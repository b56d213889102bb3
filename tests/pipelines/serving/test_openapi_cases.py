"""Requests that schemathesis makes from the OpenAPI document, as it allows and as it does not: every answer is one that
the document has. `benchmarks/openapi_cases.py` makes thousands, over the wire."""

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from tests.support.served import LIMITS

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


QUICK = settings(
    max_examples=8, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_one_of_the_document(sampler: Sampler, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_asgi("/openapi.json", create_app(sampler, LIMITS))
    asked = Counter[str]()
    for found in document.get_all_operations():
        operation = found.ok()
        assert operation is not None, f"an operation is not as OpenAPI has it: {found.err()}"
        with suppress(Unsatisfiable):  # a route that takes nothing has no request that is not allowed

            @QUICK
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                asked[case.path] += 1
                case.call_and_validate(checks=CHECKS)

            ask()
    assert len(asked) > 5
    assert asked.total() > 50
