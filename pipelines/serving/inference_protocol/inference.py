"""A request of the protocol, read for one bundle: what it gives, what it asks for, and its answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sampling.recipe import Recipe
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.base.request import MOST_SEED, InvalidRequest, RequestConditions
from pipelines.serving.inference_protocol.models import CHOICES, SEED, Described
from pipelines.serving.inference_protocol.requests import Choices, InferenceRequest, Received
from pipelines.serving.inference_protocol.tensors import Tensor, to_bytes
from pipelines.serving.service import Service

_FARTHEST = 1e6  # of what a sampler is told in the network's units; farther off its numbers would not be finite


@dataclass(frozen=True)
class Draws:
    """Samples of these seeds."""

    seeds: list[int]

    @property
    def count(self) -> int:
        return len(self.seeds)


def read_inputs(received: Received, of: Described) -> dict[str, NDArray[Any]]:
    """The inputs by name; InvalidRequest where they are not those that the model takes."""
    known = {tensor.name: tensor for tensor in of.inputs}
    given = {each.name: each for each in received.request.inputs}
    if any(name not in known for name in given):
        raise InvalidRequest.of("inputs", f"must be named {', '.join(known)}, without another one")
    missing = [name for name, tensor in known.items() if name not in given and not tensor.optional]
    if missing:
        raise InvalidRequest.of(f"inputs.{missing[0]}", "must be given")
    for name, each in given.items():
        known[name].check(each.datatype, each.shape, MOST_SAMPLES)
    sizes = {name: each.shape[0] for name, each in given.items() if known[name].each_datum}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InvalidRequest.of("inputs", f"must be of equally many data, got {told}")
    found: dict[str, NDArray[Any]] = {}
    for name, each in given.items():
        tensor = known[name]
        if each.data is None:
            found[name] = tensor.from_bytes(received.binary[name], each.shape)
        else:
            found[name] = tensor.from_json(each.data, each.shape)
    return found


def sampling(service: Service, inputs: Mapping[str, NDArray[Any]]) -> tuple[Draws, Recipe, RequestConditions]:
    """What a sampler's inputs ask for; ParamsError where it cannot be asked of this bundle."""
    seeds = [int(seed) for seed in inputs[SEED]]
    if not all(0 <= seed <= MOST_SEED for seed in seeds):
        raise InvalidRequest.of(f"inputs.{SEED}", f"must be from 0 to {MOST_SEED}")
    choices = {tensor.name: inputs[tensor.name][0].item() for tensor in CHOICES if tensor.name in inputs}
    if "guidance" in choices:  # the number that was meant: 0.1, and not the nearest float32
        choices["guidance"] = float(str(inputs["guidance"][0]))
    how = Choices.from_fields(choices)
    recipe = service.sampler.recipe(how.sampler, how.steps, how.guidance)
    spec = service.sampler.bundle.spec
    cond = {name: inputs[name] for name in spec.conditions if name in inputs}
    for name, values in cond.items():
        if values.dtype.kind == "f" and (np.abs(values) > _FARTHEST).any():
            raise InvalidRequest.of(f"inputs.{name}", f"must be from -{_FARTHEST:g} to {_FARTHEST:g}")
    spec.conditions_for(cond, len(seeds))  # what cannot be told is refused before it waits for its turn
    return Draws(seeds), recipe, RequestConditions(seeds, cond)


def check_outputs(request: InferenceRequest, output: Tensor) -> None:
    """InvalidRequest where a request asks for an output that the model has not."""
    names = [each.name for each in request.outputs]
    if names not in ([], [output.name]):
        raise InvalidRequest.of("outputs", f"must be {output.name}, once, or be left out")


def as_bytes(request: InferenceRequest) -> bool:
    """Whether the output is to come as bytes."""
    asked = request.outputs[0].parameters.binary_data if request.outputs else None
    return request.parameters.binary_data_output if asked is None else asked


def answer(
    request: InferenceRequest, output: Tensor, values: NDArray[Any], about: Mapping[str, Any]
) -> tuple[bytes, int | None]:
    """The body, and where its binary tensor begins; None for JSON alone. `about` tells the model and its version."""
    shown: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(values.shape)}
    if as_bytes(request):
        tail = to_bytes(output, values)
        head = _head(request, about, {**shown, "parameters": {"binary_data_size": len(tail)}})
        return head + tail, len(head)
    if not np.isfinite(values).all():
        raise InvalidRequest.of(
            f"outputs.{output.name}", "has values that are not finite, which JSON cannot hold; ask for binary_data"
        )
    return _head(request, about, {**shown, "data": values.ravel().tolist()}), None


def _head(request: InferenceRequest, about: Mapping[str, Any], output: Mapping[str, Any]) -> bytes:
    named = {} if request.id is None else {"id": request.id}
    return json.dumps({**about, **named, "outputs": [output]}, allow_nan=False, separators=(",", ":")).encode()
