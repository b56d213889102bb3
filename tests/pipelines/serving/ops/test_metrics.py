"""/metrics: names and units by Prometheus' conventions, numbers that are true, and no state that services share."""

import re

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from pipelines.serving.ops.metrics import Metrics
from tests.support.operated import MODEL, client, metrics_of


def values(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.text("")[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return values(metrics).get((name, tuple(sorted(labels.items()))))


def test_requests_are_counted_by_route_status_and_outcome() -> None:
    metrics = metrics_of(MODEL)
    http = client(metrics)
    for _ in range(3):
        http.post("/v1/images")
    for path in ("/v1/models/a", "/v1/models/b", "/no/1", "/no/2"):
        http.get(path)
    http.get("/fails")
    counted = {
        labels: number for (name, labels), number in values(metrics).items() if name == "ddpm_http_requests_total"
    }
    assert {tuple(dict(labels)[key] for key in ("route", "status", "outcome")): n for labels, n in counted.items()} == {
        ("/v1/images", "200", "ok"): 3,
        ("/v1/models/{name}", "422", "too_costly"): 2,
        ("other", "404", "not_found"): 2,
        ("/fails", "500", "internal_error"): 1,
    }
    assert value(metrics, "ddpm_http_request_duration_seconds_count", route="/v1/images") == 3
    assert value(metrics, "ddpm_queue_duration_seconds_count") == 3
    assert value(metrics, "ddpm_queue_duration_seconds_sum") == 0.75
    assert value(metrics, "ddpm_samples_total", model="default") == 9
    assert value(metrics, "ddpm_network_evaluations_total", model="default") == 180


def test_what_is_now_is_read_at_each_scrape() -> None:
    metrics = metrics_of(MODEL, waiting=2, running=1)
    metrics.step(0.25)
    assert value(metrics, "ddpm_requests_waiting") == 2
    assert value(metrics, "ddpm_requests_running") == 1
    assert value(metrics, "ddpm_ready") == 1
    assert value(metrics, "ddpm_model_info", model="default", bundle="d1ge57", kind="pictures", provider="CPU") == 1
    assert value(metrics, "ddpm_step_duration_seconds_sum") == 0.25
    assert value(metrics, "ddpm_model_switches_total", model="default") == 4
    assert value(metrics, "ddpm_model_refused", model="default") == 1
    assert value(metrics, "ddpm_source_failed_looks_total", model="default") == 2
    assert value(metrics, "ddpm_source_look_age_seconds", model="default") == 30


def test_names_and_units_are_prometheus_own() -> None:
    for family in text_string_to_metric_families(metrics_of(MODEL).text("")[0].decode()):
        assert re.fullmatch("(ddpm|process)_[a-z_]+", family.name)
        assert family.documentation
        assert not re.search("_(ms|millis|milliseconds|minutes|kb|mb)(_|$)", family.name)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        if family.type == "counter":
            assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples)


def test_two_services_share_no_number_and_the_global_registry_none() -> None:
    one, other = metrics_of(), metrics_of()
    one.step(1.0)
    assert value(other, "ddpm_step_duration_seconds_count") == 0
    assert not [name for name in REGISTRY._names_to_collectors if name.startswith("ddpm")]


def test_the_route_answers_in_the_format_that_is_asked_for_and_takes_get_alone() -> None:
    http = client()
    assert http.get("/metrics").headers["content-type"].startswith("text/plain")
    openmetrics = http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    assert http.post("/metrics").status_code == 405
    assert client(metrics="off").get("/metrics").status_code == 404
