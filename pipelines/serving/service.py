"""One bundle behind the routes: its requests are read, their cost is checked, and the scheduler samples them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from fastapi import Request as Http

from ddpm_core.errors import DdpmError, ParamsError
from ddpm_core.procedure import MODEL_FILE
from ddpm_core.pseudo_classes import classes_to_ask_for
from ddpm_core.samplers.config import sampler_kinds
from pipelines.kinds import kind_of
from pipelines.sampling.bundle_sampler import Sampler, Watch
from pipelines.sampling.cost import seconds_an_evaluation
from pipelines.sampling.editing import Edit, Editor
from pipelines.sampling.recipe import Recipe
from pipelines.serving.base.limits import MOST_SAMPLES
from pipelines.serving.base.request import InvalidRequest, Request, RequestConditions, faults_together
from pipelines.serving.base.serving import Samples
from pipelines.serving.http import CLIENT_CLOSED_REQUEST, HttpError
from pipelines.serving.ops.facts import current
from pipelines.serving.order import Pace
from pipelines.serving.scheduler import (
    Job,
    JobCancelled,
    JobTimeout,
    QueueFull,
    Scheduler,
    SchedulerClosed,
    Step,
    TooLong,
)

Asking = TypeVar("Asking", bound=Request)
Result = TypeVar("Result")
log = logging.getLogger(__name__)

_STEP_SECONDS = 0.02  # of a network call on a CPU: so long a request may have to wait for the step of another
_FEWEST, _MOST = 4, 64  # data in a call
_SEEDS_LISTED = 32


@dataclass(frozen=True)
class Limits:
    """The limits of a server. Cost counts network evaluations of single data: n x evaluations, twice where guided.

    `cost` and `body_bytes` of None are as much as requests of the kind of data need. So many requests as `batch` says
    share each call of the network; from 2 on a GPU is used better, and there a sample's bits depend on the others.
    """

    cost: int | None
    waiting: int
    at_once: int
    seconds: float
    body_bytes: int | None
    batch: int = 1


class Counted(Protocol):
    """A request for so many samples, of these seeds."""

    @property
    def count(self) -> int: ...
    @property
    def seeds(self) -> list[int]: ...


async def read_request(kind: type[Asking], body: bytes) -> Asking:
    """The request in a body of JSON; HttpError 422 where it is none."""
    with _refused_as_422():
        return await asyncio.to_thread(kind.from_json, body)


@contextmanager
def _refused_as_422() -> Iterator[None]:
    try:
        yield
    except InvalidRequest as error:
        raise HttpError(422, "invalid_request", str(error), {"fields": error.faults}) from error
    except ParamsError as error:
        raise HttpError(422, "invalid_request", str(error)) from error


class Service:
    """A bundle's sampler, its routes and limits; `Models` hands it the scheduler while the server runs."""

    def __init__(self, sampler: Sampler, limits: Limits) -> None:
        spec = sampler.bundle.spec
        self.sampler, self.kind = sampler, spec.kind
        self.serving = kind_of(self.kind).serving()
        self.routes = self.serving.routes(spec)
        self.body_bytes = self.serving.body_bytes if limits.body_bytes is None else limits.body_bytes
        self.most_cost = self.serving.most_cost if limits.cost is None else limits.cost
        self.limits = replace(limits, cost=self.most_cost, body_bytes=self.body_bytes)
        self.scheduler: Scheduler | None = None
        self.pace, self.rows = Pace(), _rows(sampler)
        if limits.batch > 1:
            sampler.share_calls(self._stepping)
        self.model_info = _model_info(sampler, self.limits, list(self.routes))

    def _stepping(self) -> int:
        """How many requests take a step now, of this model or another."""
        return 1 if self.scheduler is None else self.scheduler.in_hand[0]

    async def asked(self, request: Request) -> tuple[Recipe, RequestConditions]:
        """What a request asks of this bundle; HttpError 422 where it asks for what cannot be."""
        with _refused_as_422():
            return await asyncio.to_thread(self._asked, request)

    def _asked(self, request: Request) -> tuple[Recipe, RequestConditions]:
        sampler, spec = self.sampler, self.sampler.bundle.spec
        return faults_together(
            lambda: (request.recipe_for(sampler), request.asked_of(spec)),
            lambda: request.recipe_for(sampler),
            lambda: request.asked_of(spec),
        )

    async def sampled(
        self,
        http: Http,
        request: Counted,
        recipe: Recipe,
        asked: RequestConditions,
        *,
        watch: Watch | None = None,
        edit: Edit | None = None,
    ) -> Samples:
        """The samples that a request asks for; HttpError where it costs too much, cannot run now, or fails.

        `watch` is that of `Sampler.sample`. An `edit` is run instead of sampling; the recipe is its own.
        """
        work, cost = partial(self._sample, recipe, asked, watch, edit), recipe.cost(len(asked.seeds))
        return await self.scheduled(http, work, cost, len(asked.seeds), request.count)

    async def scheduled(
        self, http: Http, work: Callable[[Step], Result], cost: int, n: int, count: int | None
    ) -> Result:
        """What some work on n data comes to, in its turn; HttpError as of `sampled`. It asks the network `cost` times,
        for at most `rows` data at once, and its answer holds `count` samples."""
        facts = current()
        facts.bundle, facts.count, facts.cost = self.sampler.bundle.digest, count, cost
        self.check_cost(cost)
        start = time.monotonic()
        rows = min(self.rows, n)
        job = Job(work, cost, start + self.limits.seconds, client_of(http), rows, self.pace)
        try:
            if self.scheduler is None:
                raise SchedulerClosed("the server is starting; try again in a moment")
            self.scheduler.submit(job)
            result: Result = await _result_while_connected(http, job)
        except (QueueFull, SchedulerClosed) as error:
            raise refused(error) from error
        except TooLong as error:
            raise HttpError(503, "too_late", str(error)) from error
        except JobTimeout as error:
            raise HttpError(504, "too_late", str(error)) from error
        except JobCancelled as error:
            if self.scheduler is not None and not self.scheduler.alive:
                stopping = "the server is shutting down"
                raise HttpError(503, "not_ready", stopping, headers={"Retry-After": "5"}) from error
            log.info("client disconnected; request cancelled")
            raise HttpError(CLIENT_CLOSED_REQUEST, "client_closed_request", "the client disconnected") from error
        except DdpmError as error:
            log.error("%s", error)
            raise HttpError(500, "cannot_sample", str(error)) from error
        finally:
            facts.queued = job.waited
        return result

    def check_cost(self, cost: int) -> None:
        """HttpError where a request costs more than allowed."""
        if cost > self.most_cost:
            raise HttpError(
                422,
                "too_costly",
                f"n x evaluations (twice where guidance acts) must be at most {self.most_cost}, got {cost}; ask for "
                f"fewer {self.kind} or steps at a time",
                {"cost": cost, "limit": self.most_cost},
            )

    def _sample(
        self, recipe: Recipe, asked: RequestConditions, watch: Watch | None, edit: Edit | None, step: Step
    ) -> Samples:
        """Sample, or run an edit; runs in a thread of the scheduler."""
        seeds, cond, size = asked.seeds, asked.cond, self.rows
        if edit is None:
            data = self.sampler.sample(recipe, seeds, cond, batch_size=size, on_step=step, watch=watch)
        else:
            editor = Editor(self.sampler, recipe, len(seeds), cond)
            data = editor.run(edit, seeds, batch_size=size, on_step=step, watch=watch)
        return Samples(data, cond, seeds, self.sampler.made_by(recipe), asked.about)

    async def encoded(self, samples: Samples, format: str) -> bytes:
        """Samples in one of the kind's formats."""
        try:
            return await asyncio.to_thread(self.serving.encode, samples, format)
        except DdpmError as error:
            log.error("%s", error)
            raise HttpError(500, "cannot_sample", str(error)) from error

    def headers(self, request: Counted, recipe: Recipe) -> dict[str, str]:
        """What made the samples of an answer."""
        made_by = {f"X-{key.title()}": value for key, value in self.sampler.made_by(recipe).items()}
        seeds = seeds_told(request.seeds)
        return {**made_by, **({} if seeds is None else {"X-Seeds": seeds}), "Cache-Control": "no-store"}


async def _result_while_connected(http: Http, job: Job) -> Any:
    """The job's result. The job is cancelled when the client disconnects."""
    result = asyncio.wrap_future(job.future)
    gone = asyncio.ensure_future(_disconnected(http))
    try:
        await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            job.cancel()
        found = await result
    except asyncio.CancelledError:  # the server cancels the request
        job.cancel()
        result.cancel()  # nobody asks for it any more
        raise
    finally:
        gone.cancel()
    return found


async def _disconnected(http: Http) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def seeds_told(seeds: Sequence[int]) -> str | None:
    """Seeds as a header has them, which must be short, as proxies take heads of 4 KiB: `3,4,5`, and `3-258` of many.

    None where there are many that do not follow each other; such a request names each of them.
    """
    if len(seeds) <= _SEEDS_LISTED:
        return ",".join(str(seed) for seed in seeds)
    first, last = seeds[0], seeds[-1]
    return f"{first}-{last}" if list(seeds) == list(range(first, last + 1)) else None


def refused(error: QueueFull | SchedulerClosed) -> HttpError:
    """What a client is answered who has to come again."""
    if isinstance(error, QueueFull):
        return HttpError(429, "queue_full", str(error), headers={"Retry-After": str(error.retry_after)})
    return HttpError(503, "not_ready", str(error), headers={"Retry-After": "5"})


def client_of(http: Http) -> str:
    """Whose share of the device a request takes: that of its API key, or of its address."""
    return current().key or (http.client.host if http.client else "")


def _rows(sampler: Sampler) -> int:
    """How many data a call of the network has at most. On a CPU this changes no byte."""
    if sampler.device != "cpu":
        return _MOST
    return max(_FEWEST, min(_MOST, int(_STEP_SECONDS / seconds_an_evaluation(sampler, 1))))


def _model_info(sampler: Sampler, limits: Limits, routes: list[str]) -> dict[str, Any]:
    bundle = sampler.bundle
    graph = bundle.graphs[MODEL_FILE]
    return {
        "bundle": bundle.digest,
        "kind": bundle.spec.kind,
        "routes": routes,
        "about": dict(bundle.spec.about),
        "shape": list(bundle.spec.shape),
        "dtype": bundle.spec.dtype,
        "classes": list(classes_to_ask_for(bundle.spec)),
        "conditional": bool(bundle.spec.conditions),
        "conditions": {name: each.to_dict() for name, each in bundle.spec.conditions.items()},
        "network": {
            "inputs": {name: {"shape": list(each.shape), "dtype": each.dtype} for name, each in graph.inputs.items()},
            "out": list(graph.out),
        },
        "defaults": asdict(sampler.defaults),
        "samplers": list(sampler_kinds()),
        "levels": bundle.schedule.T,
        "evaluations": sampler.recipe().cost(1),
        "student": None if bundle.student is None else asdict(bundle.student),
        "scaling": None if bundle.spec.scaling is None else bundle.spec.scaling.to_dict(),
        "limits": {**asdict(limits), bundle.spec.kind: MOST_SAMPLES},
        "device": sampler.device,
        "provider": sampler.provider,
        "bytes": sum(len(graph) for graph in bundle.contents.values()),
        "provenance": dict(bundle.provenance),
    }
