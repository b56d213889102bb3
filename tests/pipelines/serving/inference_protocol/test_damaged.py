"""Requests with a part replaced, taken out or cut off: answered, or refused as the client's fault; never as ours."""

import json
import random
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.support.inference import BEGIN, binary, refusal

OTHERS: tuple[Any, ...] = (None, True, -1, 0, 2**63, 10**25, 1.5, 1e308, "", "x" * 300, [], {}, [[]], [None], "FP32")
REQUESTS: dict[str, dict[str, Any]] = {
    "default": {
        "seed": np.array([1, 2]),
        "label": np.array([0, 3]),
        "steps": np.array([2]),
        "guidance": np.array([0.5], np.float32),
        "sampler": "ddim",
    },
    "default.network": {
        "x": np.zeros((1, 1, 8, 8), np.float32),
        "t": np.ones(1, np.float32),
        "label": np.zeros(1, np.int64),
    },
}


def damaged(value: Any, draw: random.Random) -> Any:
    """The value with one part of it changed."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.1:
        return draw.choice(OTHERS)
    copy: Any = value.copy()
    place = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
    if draw.random() < 0.1:
        del copy[place]
    else:
        copy[place] = damaged(value[place], draw)
    return copy


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", list(REQUESTS))
def test_damage_is_never_our_fault(client: TestClient, model: str, seed: int) -> None:
    draw = random.Random(seed)
    statuses = set()
    for _ in range(60):
        content, headers = binary(REQUESTS[model], parameters={"binary_data_output": True}, id="mine", outputs=[])
        begin = int(headers[BEGIN])
        tail = bytearray(content[begin:])
        tail[draw.randrange(len(tail))] = draw.randrange(256)
        del tail[len(tail) - draw.choice((0, 0, 1)) :]
        request = json.loads(content[:begin])
        head = json.dumps(damaged(request, draw) if draw.random() < 0.7 else request).encode()
        headers[BEGIN] = str(draw.choice((len(head),) * 9 + (len(head) + 1,)))
        answer = client.post(f"/v2/models/{model}/infer", content=head + tail, headers=headers)
        statuses.add(answer.status_code)
        if answer.status_code != 200:
            assert refusal(answer)
    assert statuses == {200, 400}
