"""What promotion, rollback and history share: a store that must answer, and one change of the registry at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.paths import Paths
from pipelines.tracking.journal import StoreDown, locked
from pipelines.tracking.tracker import must_answer


@contextmanager
def store_must_answer() -> Iterator[None]:
    """A store that does not answer, as an error that says so; as a temporary one where it may answer later."""
    try:
        yield
    except StoreDown as error:
        raise must_answer(error) from error


@contextmanager
def one_at_a_time(paths: Paths) -> Iterator[None]:
    """Changes of aliases on this machine wait for each other; those elsewhere meet the alias's compare-and-swap."""
    with locked(paths.home / "promote.lock"):
        yield
