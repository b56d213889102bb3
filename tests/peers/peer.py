"""How a test gets at another implementation: by name, or it is skipped and says how to have it."""

from typing import Any

import pytest


def peer(name: str) -> Any:
    """The module, or a skip of whoever asked for it."""
    return pytest.importorskip(name, reason=f"{name} is not installed; `make test-peers` brings it and runs this")
