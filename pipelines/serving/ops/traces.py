"""OpenTelemetry spans of requests, where the extra `otel` is installed and `--traces otlp` asks for them."""

from dataclasses import asdict
from typing import Any

from starlette.types import ASGIApp

from ddpm_core.errors import ParamsError
from pipelines.serving.ops.facts import RequestFacts

_NO_SPANS = "/health/,/metrics"


def traced(app: ASGIApp, exporter: Any = None) -> ASGIApp:
    """The application with a span for each request, sent where OTEL_EXPORTER_OTLP_ENDPOINT says."""
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from starlette.middleware.opentelemetry import OpenTelemetryMiddleware

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
    except ImportError as error:
        raise ParamsError(f"--traces: needs the extra `otel` (pip install 'ddpm-pipeline[otel]'): {error}") from error
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "ddpm"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetryMiddleware(app, excluded_urls=_NO_SPANS, tracer_provider=provider)


def annotate(facts: RequestFacts) -> None:
    """Put what is known of the request into its span."""
    from opentelemetry import trace

    span = trace.get_current_span()
    for name, value in asdict(facts).items():
        if value is not None:
            span.set_attribute(f"ddpm.{name}", value)
