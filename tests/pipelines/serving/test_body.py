"""A body is read no further than its limit."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from pipelines.serving.http import HttpError, body_within


def request_of(parts: list[bytes], read: list[bytes]) -> Request:
    """A request whose body comes in these parts and says no size; `read` gets each part that was asked for."""

    async def receive() -> dict[str, Any]:
        read.append(parts[len(read)])
        return {"type": "http.request", "body": read[-1], "more_body": len(read) < len(parts)}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def test_the_part_that_makes_it_too_large_is_the_last_that_is_read() -> None:
    read: list[bytes] = []
    with pytest.raises(HttpError) as caught:
        asyncio.run(body_within(request_of([b"a" * 10] * 5, read), 25))
    assert (caught.value.status, len(read)) == (413, 3)


def test_a_body_as_large_as_its_limit_is_whole() -> None:
    read: list[bytes] = []
    assert asyncio.run(body_within(request_of([b"ab", b"cd", b"e"], read), 5)) == b"abcde"
