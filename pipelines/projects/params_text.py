"""Changes a params.yaml and keeps its comments and its order."""

import io
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from ddpm_core.errors import ParamsError

_WIDTH = 10_000  # no line is folded


def round_trip() -> YAML:
    """A reader and writer of YAML 1.2 that keeps comments."""
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def read_text(text: str) -> CommentedMap:
    value = round_trip().load(text)
    return value if isinstance(value, CommentedMap) else CommentedMap()


def written(value: CommentedMap) -> str:
    stream = io.StringIO()
    round_trip().dump(value, stream)
    return stream.getvalue()


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """The text with other values under these dotted keys, each of which it must have."""
    whole = read_text(text)
    for dotted, value in values.items():
        *way, last = dotted.split(".")
        place: Any = whole
        for key in way:
            place = place[key]
        if last not in place:
            raise KeyError(dotted)
        place[last] = in_one_line(value)
    return written(whole)


def with_mapping(text: str, section: str, values: Mapping[str, Any]) -> str:
    """The text with these values as the mapping under a dotted key. Keys that they lack go; new keys come last."""
    whole = read_text(text)
    place: Any = whole
    for key in section.split("."):
        place = place.get(key) if isinstance(place, Mapping) else None
    if not isinstance(place, CommentedMap):
        raise ParamsError(f"params.yaml: must have the mapping {section} to be written; add it")
    for key in [key for key in place if key not in values]:
        del place[key]
    for key, value in values.items():
        place[key] = in_one_line(value)
    return written(whole)


def in_one_line(value: Any) -> Any:
    """Lists and mappings as `[...]` and `{...}`."""
    if isinstance(value, Mapping):
        return _flow(CommentedMap({key: in_one_line(item) for key, item in value.items()}))
    return _flow(CommentedSeq(in_one_line(item) for item in value)) if isinstance(value, list | tuple) else value


def _flow(value: Any) -> Any:
    value.fa.set_flow_style()
    return value


def with_section(text: str, name: str, section: str) -> str:
    """The text with another text for one of its sections."""
    blocks = re.split(r"^(?=\w)", text, flags=re.MULTILINE)
    return "".join(f"{section.rstrip()}\n\n" if block.startswith(f"{name}:") else block for block in blocks)
