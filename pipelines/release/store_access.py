"""Shared by promotion, rollback and history: a store that must answer, and one change of the registry at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.paths import Paths
from pipelines.tracking.journal import StoreDown, locked
from pipelines.tracking.tracker import must_answer


@contextmanager
def store_must_answer() -> Iterator[None]:
    """Raise an error if the store does not answer; a temporary one if it may answer later."""
    try:
        yield
    except StoreDown as error:
        raise must_answer(error) from error


@contextmanager
def one_at_a_time(paths: Paths) -> Iterator[None]:
    """Lock the aliases on this machine; changes from elsewhere are caught by the alias's compare-and-swap."""
    with locked(paths.home / "promote.lock"):
        yield
