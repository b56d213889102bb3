"""Shared by promotion and rollback: one change of the registry's aliases at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.paths import Paths
from pipelines.runtime.locks import locked


@contextmanager
def one_at_a_time(paths: Paths) -> Iterator[None]:
    """Lock the aliases on this machine; `Registry.move_champion` detects most changes from another one."""
    with locked(paths.home / "promote.lock"):
        yield
