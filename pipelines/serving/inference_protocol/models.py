"""A served model is two in the protocol: its sampler under its own name, and its network as NAME.network."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.procedure import MODEL_FILE
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.onnx_denoiser import in_one_shape
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.inference_protocol.tensors import DATATYPES, STRINGS, Tensor, item_bytes
from pipelines.serving.scheduler import Step

NETWORK = ".network"
SEED = "seed"
CHOICES = (
    Tensor("steps", "INT64", (1,), each_datum=False, optional=True),
    Tensor("guidance", "FP32", (1,), each_datum=False, optional=True),
    Tensor("sampler", STRINGS, (1,), each_datum=False, optional=True),
)
_TEXT = 25  # bytes of a number in JSON, at most
_MOST_BYTES = 4 * 1024 * 1024  # of binary tensors in a request, unless a single datum needs more
_VERSION = 16  # digits of a digest


@dataclass(frozen=True)
class Described:
    """Of a model in the protocol: what it takes, and its one output."""

    platform: str
    inputs: tuple[Tensor, ...]
    output: Tensor

    def most_bytes(self, body_bytes: int, binary: bool) -> int:
        """Of a body: what the service allows, and one datum in JSON; where binary tensors follow, those too."""
        each = [tensor for tensor in self.inputs if tensor.each_datum]
        datum = sum(tensor.numbers * item_bytes(tensor) for tensor in each)
        text = body_bytes + _TEXT * sum(tensor.numbers for tensor in each)
        return text + max(datum, min(MOST_SAMPLES * datum, _MOST_BYTES)) if binary else text


def split(name: str, served: Collection[str]) -> tuple[str, bool] | None:
    """The served model behind a name of the protocol, and whether its network is meant; None where there is none.

    A model that is served under the very name goes before the network of another one.
    """
    if name in served:
        return name, False
    model = name.removesuffix(NETWORK)
    return (model, True) if model != name and model in served else None


def described(info: Mapping[str, Any], network: bool) -> Described:
    """A model as its facts at `GET /v1/model` describe it, so that it need not be loaded."""
    return _network(info) if network else _sampler(info)


def _sampler(info: Mapping[str, Any]) -> Described:
    told = [
        Tensor(
            name,
            DATATYPES[each["dtype"]],
            tuple(each["shape"]),
            optional=each["null"] is not None,
            classes=len(each["classes"]) or None,
        )
        for name, each in info["conditions"].items()
    ]
    output = Tensor("samples", DATATYPES[info["dtype"]], tuple(info["shape"]))
    return Described("ddpm_sampler", (Tensor(SEED, "INT64", ()), *told, *CHOICES), output)


def _network(info: Mapping[str, Any]) -> Described:
    classes = {name: len(each["classes"]) or None for name, each in info["conditions"].items()}
    inputs = [
        Tensor(name, DATATYPES[each["dtype"]], tuple(each["shape"]), classes=classes.get(name))
        for name, each in info["network"]["inputs"].items()
    ]
    return Described("onnxruntime_onnx", tuple(inputs), Tensor("out", "FP32", tuple(info["network"]["out"])))


def versions(card: Mapping[str, Any], digest: str) -> list[str]:
    """The names of the version of this digest, the shortest one first: its registry's number, and the digest itself."""
    number = card["version"] if card["bundle"] == digest else None
    return [*([] if number is None else [str(number)]), digest[:_VERSION]]


def evaluate(sampler: Sampler, most: int, feeds: Mapping[str, NDArray[Any]], step: Step) -> NDArray[np.float32]:
    """The network's answer for all data of a request, `most` of them at once."""
    graph = sampler.bundle.graphs[MODEL_FILE]
    told = {name: values for name, values in feeds.items() if name not in ("x", graph.time)}
    x, t = feeds["x"], feeds[graph.time]
    size = min(most, len(x))
    net = sampler.network if sampler.device == "cpu" else in_one_shape(sampler.network, size)
    parts, calls = [], -(-len(x) // size)
    for call in range(calls):
        part = slice(call * size, (call + 1) * size)
        parts.append(net(x[part], t[part], {name: values[part] for name, values in told.items()}))
        step(call + 1, calls)
    return np.concatenate(parts)
