"""The header of a weights file: where its tensors lie and, under one key of JSON, what the file says of itself."""

import json
from typing import Any

KEY = "ddpm"


def about_in(header: bytes) -> dict[str, Any]:
    """What a weights file says of itself; empty where it says nothing, as another program's file."""
    about: dict[str, Any] = json.loads(json.loads(header).get("__metadata__", {}).get(KEY, "{}"))
    return about
