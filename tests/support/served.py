"""The limits of a small service, and a request to it."""

from typing import Any

import httpx

from pipelines.serving.service import Limits

LIMITS = Limits(cost=1000, waiting=2, at_once=1, seconds=30.0, body_bytes=4096)


def post(client: Any, **body: Any) -> httpx.Response:
    answer: httpx.Response = client.post("/v1/images", json=body)
    return answer
