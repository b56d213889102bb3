"""The part of Triton's model_config.proto that we write, to parse a config.pbtxt strictly without Triton's packages.

Numbers, types and labels are those of the real schema; tests/peers/test_triton_repository.py compares them with it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from numpy.typing import NDArray

FIELD = descriptor_pb2.FieldDescriptorProto
DATA_TYPES = {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_INT64": 9, "TYPE_FP32": 11}
# message: {field: (number, type, whether it is repeated, the message or enum that it holds)}
MESSAGES: Mapping[str, Mapping[str, tuple[int, int, bool, str]]] = {
    "ModelTensorReshape": {"shape": (1, FIELD.TYPE_INT64, True, "")},
    "ModelInput": {
        "name": (1, FIELD.TYPE_STRING, False, ""),
        "data_type": (2, FIELD.TYPE_ENUM, False, "DataType"),
        "dims": (4, FIELD.TYPE_INT64, True, ""),
        "reshape": (5, FIELD.TYPE_MESSAGE, False, "ModelTensorReshape"),
    },
    "ModelOutput": {
        "name": (1, FIELD.TYPE_STRING, False, ""),
        "data_type": (2, FIELD.TYPE_ENUM, False, "DataType"),
        "dims": (3, FIELD.TYPE_INT64, True, ""),
        "reshape": (5, FIELD.TYPE_MESSAGE, False, "ModelTensorReshape"),
    },
    "ModelDynamicBatching": {},
    "ModelConfig": {
        "name": (1, FIELD.TYPE_STRING, False, ""),
        "backend": (17, FIELD.TYPE_STRING, False, ""),
        "max_batch_size": (4, FIELD.TYPE_INT32, False, ""),
        "input": (5, FIELD.TYPE_MESSAGE, True, "ModelInput"),
        "output": (6, FIELD.TYPE_MESSAGE, True, "ModelOutput"),
        "dynamic_batching": (11, FIELD.TYPE_MESSAGE, False, "ModelDynamicBatching"),
    },
}
DTYPES = {"TYPE_UINT8": np.uint8, "TYPE_INT64": np.int64, "TYPE_FP32": np.float32}


def parsed(text: str) -> Any:
    """A config by this part of the schema; an unknown field or a wrong type is an error."""
    return text_format.Parse(text, model_config()())


def model_config() -> Any:
    """The class of `ModelConfig`."""
    file = descriptor_pb2.FileDescriptorProto(name="part_of_model_config.proto", package="inference", syntax="proto3")
    types = file.enum_type.add(name="DataType")
    for name, number in DATA_TYPES.items():
        types.value.add(name=name, number=number)
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated, holds) in fields.items():
            label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, type=kind, label=label)
            if holds:
                field.type_name = f".inference.{holds}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def data_type(config: Any, tensor: Any) -> str:
    """The name of a tensor's type."""
    name: str = config.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number[tensor.data_type].name
    return name


def blank(config: Any, n: int) -> dict[str, NDArray[Any]]:
    """Zeros for n data, shaped as Triton hands them to the graph."""
    found = {}
    for tensor in config.input:
        shape = list(tensor.reshape.shape) if tensor.HasField("reshape") else list(tensor.dims)
        shape = [n, *shape] if config.max_batch_size else [n if side == -1 else side for side in shape]
        found[tensor.name] = np.zeros(shape, DTYPES[data_type(config, tensor)])
    return found


def read(folder: Path) -> Any:
    return parsed((folder / "config.pbtxt").read_text(encoding="utf-8"))
