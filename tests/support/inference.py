"""Requests of the Open Inference Protocol as a client writes them, and its answers as a client reads them."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

BEGIN = "Inference-Header-Content-Length"
NAMES = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
DTYPES = {name: np.dtype(dtype) for dtype, name in NAMES.items()}


def tensor(name: str, values: NDArray[Any] | str, **changed: Any) -> dict[str, Any]:
    """An input in JSON."""
    if isinstance(values, str):
        return {"name": name, "datatype": "BYTES", "shape": [1], "data": [values], **changed}
    described = {"name": name, "datatype": NAMES[values.dtype.name], "shape": list(values.shape)}
    return {**described, "data": values.ravel().tolist(), **changed}


def seeds(*numbers: int) -> dict[str, Any]:
    return tensor("seed", np.array(numbers, np.int64))


def binary(inputs: Mapping[str, NDArray[Any] | str], **request: Any) -> tuple[bytes, dict[str, str]]:
    """A body whose inputs are bytes behind its JSON, and its headers."""
    listed, parts = [], []
    for name, values in inputs.items():
        one = tensor(name, values)
        if isinstance(values, str):
            part = len(values.encode()).to_bytes(4, "little") + values.encode()
        else:
            part = values.astype(values.dtype.newbyteorder("<")).tobytes()
        del one["data"]
        listed.append({**one, "parameters": {"binary_data_size": len(part)}})
        parts.append(part)
    head = json.dumps({"inputs": listed, **request}).encode()
    return head + b"".join(parts), {BEGIN: str(len(head)), "Content-Type": "application/octet-stream"}


def ask(client: Any, model: str, *inputs: Mapping[str, Any], **request: Any) -> httpx.Response:
    answer: httpx.Response = client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs), **request})
    return answer


def output(answer: httpx.Response) -> NDArray[Any]:
    """The one output of an answer, from JSON or from the bytes behind it."""
    assert answer.status_code == 200, answer.text
    begin = answer.headers.get(BEGIN)
    head = json.loads(answer.content if begin is None else answer.content[: int(begin)])
    (one,) = head["outputs"]
    dtype = DTYPES[one["datatype"]]
    if begin is None:
        return np.array(one["data"], dtype).reshape(one["shape"])
    tail = answer.content[int(begin) :]
    assert one["parameters"]["binary_data_size"] == len(tail)
    return np.frombuffer(tail, dtype.newbyteorder("<")).reshape(one["shape"])


def refusal(answer: httpx.Response, status: int = 400) -> str:
    """The text of an error, in the protocol's shape."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert list(told) == ["error"]
    assert len(answer.content) < 4000
    text = told["error"]
    assert isinstance(text, str)
    return text
