"""OpenTelemetry spans, where it is installed."""

import sys

import pytest
from fastapi.testclient import TestClient

from ddpm_core.errors import ParamsError
from pipelines.serving.ops import traces
from pipelines.serving.ops.observed import Observed
from tests.support.operated import metrics_of, small_app


def test_a_request_is_a_span_with_its_facts_below_the_caller_s() -> None:
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    app = traces.traced(Observed(small_app(), metrics_of(), tuple, annotate=traces.annotate), exporter)
    caller = "0af7651916cd43dd8448eb211c80319c"
    with TestClient(app) as http:
        http.post("/v1/images", headers={"traceparent": f"00-{caller}-b7ad6b7169203331-01", "X-Request-Id": "r1"})
        http.get("/health/live")
    app._tracer_provider.force_flush()  # type: ignore[attr-defined]
    (span,) = exporter.get_finished_spans()
    assert span.name == "POST /v1/images"
    assert f"{span.context.trace_id:032x}" == caller
    assert (span.attributes["ddpm.id"], span.attributes["ddpm.count"]) == ("r1", 3)
    assert span.attributes["http.response.status_code"] == 200


def test_without_the_extra_it_is_said_which_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ParamsError, match=r"--traces: .*`otel`"):
        traces.traced(small_app())
