"""What `POST /v2/models/NAME/infer` takes: JSON, and binary tensors behind it. Else it is refused by name."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from pipelines.serving.base.request import MOST_STEPS, Body, InvalidRequest, Name, Unsupported
from pipelines.serving.http import TENSORS_BEGIN

_MOST_TENSORS = 64
_MOST_AXES = 16
_MOST_SIDE = 2**63 - 1
_MOST_DIGITS = 18


class InputParameters(Body):
    """How an input is sent."""

    binary_data_size: Annotated[int, Field(ge=0, le=_MOST_SIDE)] | None = Field(
        default=None, description="The bytes of this tensor behind the JSON, in place of `data`."
    )
    shared_memory_region: Unsupported = None
    shared_memory_byte_size: Unsupported = None
    shared_memory_offset: Unsupported = None


class Input(Body):
    """A tensor of a request."""

    name: Name
    datatype: Name
    shape: Annotated[list[Annotated[int, Field(ge=0, le=_MOST_SIDE)]], Field(max_length=_MOST_AXES)]
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = Field(default=None, description="The values, flat or nested as the shape.")


class OutputParameters(Body):
    """How an output is sent."""

    binary_data: bool | None = Field(default=None, description="As bytes behind the JSON; left out: as the request.")
    classification: Unsupported = None
    shared_memory_region: Unsupported = None
    shared_memory_byte_size: Unsupported = None
    shared_memory_offset: Unsupported = None


class Output(Body):
    """A tensor that is asked for."""

    name: Name
    parameters: OutputParameters = OutputParameters()


class RequestParameters(Body):
    """Of the request as a whole."""

    binary_data_output: bool = Field(default=False, description="Send the outputs as bytes behind the JSON.")
    sequence_id: Unsupported = None
    sequence_start: Unsupported = None
    sequence_end: Unsupported = None
    priority: Unsupported = None
    timeout: Unsupported = None


class InferenceRequest(Body):
    """The JSON of a request."""

    id: Name | None = Field(default=None, description="Comes back in the answer.")
    model_name: Name | None = Field(default=None, description="Accepted, not used: the path names the model.")
    model_version: Name | None = Field(default=None, description="Accepted, not used: the path names the version.")
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[Input], Field(min_length=1, max_length=_MOST_TENSORS)]
    outputs: Annotated[list[Output], Field(max_length=_MOST_TENSORS)] = Field(default_factory=list)


class Choices(Body):
    """How samples are made, as the optional inputs of a sampler say."""

    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None
    sampler: Name | None = None


class Received(NamedTuple):
    """A request, and the bytes of its inputs by name where they did not come in JSON."""

    request: InferenceRequest
    binary: Mapping[str, memoryview]


def read_body(body: bytes, begin: str | None) -> Received:
    """A request from its body. `begin` is the header that says where binary tensors begin."""
    view, end = memoryview(body), len(body)
    if begin is not None:
        end = int(begin) if begin.isdecimal() and begin.isascii() and len(begin) <= _MOST_DIGITS else -1
        if not 0 <= end <= len(body):
            raise InvalidRequest.of(TENSORS_BEGIN, f"must be the bytes of the JSON, 0 to {len(body)}, all of the body")
    request = InferenceRequest.from_json(body[:end])
    names = [each.name for each in request.inputs]
    if len(set(names)) < len(names):
        raise InvalidRequest.of("inputs", "must have each name once")
    return Received(request, _parts(request.inputs, view[end:]))


def _parts(inputs: Sequence[Input], rest: memoryview) -> dict[str, memoryview]:
    """The bytes of each input that has none in JSON; they follow each other in the order of the inputs."""
    parts: dict[str, memoryview] = {}
    for i, each in enumerate(inputs):
        size = each.parameters.binary_data_size
        if (size is None) == (each.data is None):
            raise InvalidRequest.of(
                f"inputs.{i}", "must have `data`, or the parameter `binary_data_size`, and not both"
            )
        if size is None:
            continue
        if size > len(rest):
            raise InvalidRequest.of(
                f"inputs.{i}.parameters.binary_data_size",
                f"must be at most the {len(rest)} bytes that are left of the body behind {TENSORS_BEGIN}; it may have "
                "been cut off",
            )
        parts[each.name], rest = rest[:size], rest[size:]
    if len(rest):
        raise InvalidRequest.of("body", f"must end with its last tensor, but {len(rest)} bytes are left")
    return parts
