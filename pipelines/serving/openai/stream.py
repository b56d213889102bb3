"""Pictures as server-sent events: unfinished ones while they are made, then each of them whole."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from fastapi import Request as Http

from ddpm_core.diffusion.arrays import Array
from ddpm_core.diffusion.plan import SamplingPlan
from pipelines.serving.base.serving import Samples
from pipelines.serving.http import FAILED, HttpError
from pipelines.serving.openai.errors import error_body
from pipelines.serving.openai.order import Order
from pipelines.serving.ops.facts import current

HEADERS = {"Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no"}
"""Of a stream: a proxy passes each event on at once (nginx knows the second)."""
# OpenAI's types ask for it; these models have no tokens.
_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


def partial_rows(plan: SamplingPlan, count: int) -> list[int]:
    """The rows of a plan after which an unfinished picture is shown: evenly spaced, the last evaluation not among them.

    Fewer than `count` where the plan has no more evaluations. Rows that do not ask the network have no x0_hat.
    """
    asking = np.flatnonzero(plan.asks).tolist()
    places = [len(asking) * (k + 1) // (count + 1) for k in range(count)]
    return [asking[place - 1] for place in sorted(set(places) - {0})]


async def events(order: Order, http: Http) -> AsyncIterator[bytes]:
    """The events of an order; HttpError before the first where it cannot be had, an event `error` after it."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes | None]()
    watch = _watch(order, lambda event: loop.call_soon_threadsafe(queue.put_nowait, event))
    task = asyncio.create_task(order.samples(http, watch))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    begun, facts = False, current()
    try:
        while (event := await queue.get()) is not None:
            begun, facts.sent = True, 0
            yield event
        samples = task.result()
        for index, picture in enumerate(await order.pictures(samples)):
            begun, facts.sent = True, index
            yield _event(order, "completed", {**picture, "image_index": index, "usage": _USAGE})
            facts.sent = index + 1
    except Exception as error:
        if not begun:
            raise
        told = error if isinstance(error, HttpError) else HttpError(500, "internal_error", FAILED)
        facts.failed, facts.outcome = told.status, told.code
        yield _sent("error", {"error": error_body(told)})
        if told is not error:
            raise
    finally:
        task.cancel()


def _watch(order: Order, send: Callable[[bytes], object]) -> Callable[[int, Array, Array], None] | None:
    """A watcher that sends x0_hat as pictures after some rows; it runs where the pictures are sampled."""
    rows = partial_rows(order.recipe.plan, order.request.partial_images or 0)
    last, first = len(order.recipe.plan) - 1, 0

    def watch(row: int, x: Array, x0_hat: Array) -> None:
        nonlocal first  # the place of the batch among the pictures of the order
        if row in rows:
            samples = _unfinished(order, x0_hat, first, row)
            for i in range(len(x0_hat)):
                about = {"partial_image_index": rows.index(row), "image_index": first + i}
                send(_event(order, "partial_image", {"b64_json": order.file(samples, i), **about}))
        first += len(x0_hat) if row == last else 0

    return watch if rows else None


def _unfinished(order: Order, x0_hat: Array, first: int, row: int) -> Samples:
    """The pictures of a batch as they are expected to become, after a row of the plan."""
    spec, part = order.service.sampler.bundle.spec, slice(first, first + len(x0_hat))
    cond = {name: list(values)[part] for name, values in order.asked.cond.items()}
    data = spec.decode(x0_hat)
    made_by = {**order.service.sampler.made_by(order.recipe), **(order.facts or {})}
    made_by["unfinished"] = f"after row {row + 1} of {len(order.recipe.plan)}"
    return Samples(
        data if order.edit is None else order.edit.with_kept(data), cond, list(order.asked.seeds)[part], made_by
    )


def _event(order: Order, name: str, content: dict[str, Any]) -> bytes:
    kind = f"{order.event}.{name}"
    about = {"created_at": int(time.time()), "size": order.size, "output_format": order.request.format}
    return _sent(kind, {"type": kind, **content, **about, "background": order.background, "quality": "auto"})


def _sent(event: str, data: dict[str, Any]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode("ascii")
