"""A store that must answer: shared by the commands that need it."""

from collections.abc import Iterator
from contextlib import contextmanager

from ddpm_core.errors import StoreUnreachable, TrackingError
from pipelines.tracking.journal import StoreAway, StoreDown


@contextmanager
def store_must_answer() -> Iterator[None]:
    """Raise an error if the store does not answer; a temporary one if it may answer later."""
    try:
        yield
    except StoreDown as error:
        kind = StoreUnreachable if isinstance(error, StoreAway) else TrackingError
        raise kind(f"{error} {error.mend}") from error
