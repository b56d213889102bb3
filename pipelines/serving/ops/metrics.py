"""Metrics in Prometheus' format, in a registry of their own: two services in one process share nothing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pipelines.serving.ops.facts import RequestFacts

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_STEP_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


@dataclass(frozen=True)
class ServedModel:
    """A model as metrics tell it."""

    name: str
    bundle: str
    kind: str
    provider: str
    switches: int
    refused: bool
    source: tuple[int, float] | None = None
    """Of one that follows a source: looks at it that failed, and seconds since the last one that did not."""


@dataclass(frozen=True)
class Readings:
    """What is read at every scrape."""

    ready: Callable[[], bool]
    waiting: Callable[[], int]
    running: Callable[[], int]
    models: Callable[[], Iterable[ServedModel]]
    connections: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """How many are open, and how many were closed to make room."""


class Metrics:
    """Counts what happens; `text` is what Prometheus reads. Every method may be called from any thread."""

    def __init__(self, readings: Readings) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        registry.register(_Now(readings))
        self._requests = Counter(
            "ddpm_http_requests", "HTTP requests answered.", ("route", "status", "outcome"), registry=registry
        )
        self._seconds = Histogram(
            "ddpm_http_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._queued = Histogram(
            "ddpm_queue_duration_seconds",
            "Time from being accepted to the first step.",
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._steps = Histogram(
            "ddpm_step_duration_seconds", "Time of one step of a batch.", buckets=_STEP_SECONDS, registry=registry
        )
        self._samples = Counter("ddpm_samples", "Samples in answers.", ("model",), registry=registry)
        self._evaluations = Counter(
            "ddpm_network_evaluations",
            "Network evaluations of single data behind the samples in answers; guided ones count twice.",
            ("model",),
            registry=registry,
        )

    def request(self, route: str, status: int, seconds: float, facts: RequestFacts) -> None:
        """A request was answered."""
        outcome = facts.outcome or ("ok" if status < 400 else "error")
        self._requests.labels(route, str(status), outcome).inc()
        self._seconds.labels(route).observe(seconds)
        if facts.queued is not None:
            self._queued.observe(facts.queued)
        if facts.model is not None and (status == 200 or facts.sent):
            asked = facts.count or 0
            sent = asked if facts.sent is None else facts.sent
            self._samples.labels(facts.model).inc(sent)
            self._evaluations.labels(facts.model).inc((facts.cost or 0) * (sent / asked if asked else 1))

    def malformed(self) -> None:
        """A request was not HTTP, so no route and no duration is known of it."""
        self._requests.labels("other", "400", "malformed_request").inc()

    def step(self, seconds: float) -> None:
        """A step of a batch took so long."""
        self._steps.observe(seconds)

    def text(self, accept: str) -> tuple[bytes, str]:
        """The metrics in the format that the header Accept asks for, and its content type."""
        encode, media = choose_encoder(accept)
        return encode(self._registry), media


class _Now(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def describe(self) -> Iterator[Metric]:
        yield from ()  # so that registering reads nothing

    def collect(self) -> Iterator[Metric]:
        now = self._readings
        yield GaugeMetricFamily("ddpm_ready", "1 while requests are accepted.", float(now.ready()))
        yield GaugeMetricFamily("ddpm_requests_waiting", "Requests that wait for their first step.", now.waiting())
        yield GaugeMetricFamily("ddpm_requests_running", "Requests that are being sampled.", now.running())
        count, dropped = now.connections()
        yield GaugeMetricFamily("ddpm_connections", "Open connections.", count)
        yield CounterMetricFamily(
            "ddpm_connections_dropped", "Connections without a request that were closed to make room.", dropped
        )
        info = InfoMetricFamily("ddpm_model", "The models, with the digest of the bundle.", labels=("model",))
        switches = CounterMetricFamily("ddpm_model_switches", "New versions that were taken.", labels=("model",))
        refused = GaugeMetricFamily(
            "ddpm_model_refused", "1 while the newest version is refused and an older one goes on.", labels=("model",)
        )
        failed = CounterMetricFamily("ddpm_source_failed_looks", "Looks at a source that failed.", labels=("model",))
        age = GaugeMetricFamily(
            "ddpm_source_look_age_seconds", "Time since the last look at a source that succeeded.", labels=("model",)
        )
        for model in now.models():
            info.add_metric((model.name,), {"bundle": model.bundle, "kind": model.kind, "provider": model.provider})
            switches.add_metric((model.name,), model.switches)
            refused.add_metric((model.name,), float(model.refused))
            if model.source is not None:
                failed.add_metric((model.name,), model.source[0])
                age.add_metric((model.name,), model.source[1])
        yield from (info, switches, refused, failed, age)
