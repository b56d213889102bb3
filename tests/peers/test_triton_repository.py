"""The repository for Triton by Triton's own schema, as its client ships it."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from pipelines import cli
from tests.peers.peer import peer
from tests.support.tiny_bundle import tiny_bundle
from tests.support.triton_config import DATA_TYPES, MESSAGES, read

triton = peer("tritonclient")


@pytest.fixture(scope="module")
def schema() -> Any:
    """The generated module alone: its package imports grpc, which is not needed to read a text."""
    file = Path(triton.__file__).parent / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_the_configs_are_of_the_schema_and_read_as_we_read_them(schema: Any, sampler: str, tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b")
    options = ["--bundle", str(tmp_path / "b"), "--sampler", sampler, "--steps", "4"]
    assert cli.main(["bundle", "triton", str(tmp_path / "models"), *options]) == 0
    folders = sorted((tmp_path / "models").iterdir())
    assert [folder.name for folder in folders] == ["ddpm", "ddpm.network"]
    for folder in folders:
        found = text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())
        assert found.name == folder.name
        assert found.SerializeToString(deterministic=True) == read(folder).SerializeToString(deterministic=True)
        batched = found.WhichOneof("scheduling_choice") == "dynamic_batching"
        assert batched == (found.max_batch_size > 0) == (sampler == "ddim" or folder.name == "ddpm.network")


def test_our_part_of_the_schema_is_the_schema_s(schema: Any) -> None:
    file = schema.DESCRIPTOR
    types = file.enum_types_by_name["DataType"].values_by_name
    assert {name: types[name].number for name in DATA_TYPES} == DATA_TYPES
    for message, fields in MESSAGES.items():
        known = file.message_types_by_name[message].fields_by_name
        for name, (number, kind, repeated, holds) in fields.items():
            field = known[name]
            found = (field.number, field.type, field.is_repeated, _held(field))
            assert found == (number, kind, repeated, holds), (message, name)


def _held(field: Any) -> str:
    held = field.message_type or field.enum_type
    return "" if held is None else str(held.name)
