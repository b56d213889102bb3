"""Streams of a real server: how they pass proxies, and what is told of those that do not end well; long heads."""

import httpx

from pipelines.sampling.bundle_sampler import Sampler
from tests.pipelines.serving.openai.test_openai_under_load import ShowingSampler
from tests.pipelines.serving.test_app_under_load import until
from tests.support.operating import metric, operating

STREAM = {"prompt": "1", "n": 3, "stream": True, "partial_images": 1}


def test_a_stream_is_passed_on_by_proxies_at_once(sampler: Sampler) -> None:
    with operating(sampler) as (address, _, lines):
        answer = httpx.post(f"{address}/v1/images/generations", json=STREAM)
        assert answer.headers["x-accel-buffering"] == "no"
        assert "no-cache" in answer.headers["cache-control"]
        assert metric(address, 'ddpm_samples_total{model="default"}') == 3
    assert [(line["status"], line["sent"]) for line in lines.requests()] == [(200, 3)]


def test_a_stream_whose_client_leaves_is_not_counted_as_answered(sampler: Sampler) -> None:
    slow = ShowingSampler(sampler)
    with operating(slow) as (address, _, lines):
        with httpx.stream("POST", f"{address}/v1/images/generations", json=STREAM, timeout=20) as stream:
            next(stream.iter_raw())
        until(lambda: bool(lines.requests()))
        slow.go.set()
        text = httpx.get(f"{address}/metrics").text
    (line,) = lines.requests()
    assert (line["status"], line["outcome"], line["count"], line["sent"]) == (499, "client_closed_request", 3, 0)
    assert 'outcome="ok",route="/v1/images/generations"' not in text
    assert 'ddpm_samples_total{model="default"} ' not in text


def test_a_stream_that_the_end_of_the_server_ends_says_so_to_all(sampler: Sampler) -> None:
    slow = ShowingSampler(sampler)
    with operating(slow, stop_timeout=1) as (address, server, lines):
        with httpx.stream("POST", f"{address}/v1/images/generations", json=STREAM, timeout=20) as stream:
            parts = stream.iter_raw()
            next(parts)
            server.should_exit = True
            assert b'"code": "not_ready"' in b"".join(parts)
        until(lambda: bool(lines.requests()))
    (line,) = lines.requests()
    assert (line["status"], line["outcome"], line["sent"]) == (503, "not_ready", 0)


def test_the_head_of_many_samples_is_short(sampler: Sampler) -> None:
    with operating(sampler) as (address, _, _):
        answers = [
            httpx.post(
                f"{address}/v1/images", json={"n": n, "seed": 2**53 - 256, "steps": 1, "format": "npz"}, timeout=60
            )
            for n in (32, 33, 256)
        ]
    first = 2**53 - 256
    assert answers[0].headers["x-seeds"] == ",".join(str(first + i) for i in range(32))
    assert [answer.headers["x-seeds"] for answer in answers[1:]] == [f"{first}-{first + n - 1}" for n in (33, 256)]
    assert all(sum(len(name) + len(value) for name, value in answer.headers.raw) < 2000 for answer in answers)
