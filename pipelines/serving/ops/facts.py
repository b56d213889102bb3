"""What is known of the request that is being answered: its id, and what the service found out about it."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class RequestFacts:
    """Facts of one request for its log line, its metrics and its span. None of them repeats what the client sent."""

    id: str
    key: str | None = None  # the name of the API key
    model: str | None = None
    bundle: str | None = None
    count: int | None = None  # samples asked for
    cost: int | None = None  # network evaluations of single data
    queued: float | None = None  # seconds between being accepted and the first step
    outcome: str | None = None  # the code of an error
    sent: int | None = None  # samples that a stream has sent
    failed: int | None = None  # the status of an error that a stream, begun with 200, ended with


CURRENT: ContextVar[RequestFacts | None] = ContextVar("request", default=None)


def current() -> RequestFacts:
    """The facts of this request; outside of one, facts that nobody reads."""
    return CURRENT.get() or RequestFacts("")
