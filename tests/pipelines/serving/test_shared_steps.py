"""Requests that share the device step by step have the bytes that each has alone."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.common_calls import CommonCalls
from pipelines.sampling.editing import Editor
from pipelines.serving import scheduler as turns
from pipelines.serving.app import create_app
from pipelines.serving.scheduler import Job, Scheduler, Step
from tests.support.rollout_bundle import conditions, rollout_bundle
from tests.support.served import LIMITS, post

SAMPLERS = ("ddim", "ancestral", "heun", "unipc_2", "dpmpp_2m")


@pytest.fixture(params=[1, 2])
def scheduler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    """Its clock goes on by one whenever somebody looks, so that all steps take as long and equals change after each."""
    monkeypatch.setattr(turns, "_TURN", 0.0)
    ticks = itertools.count(1.0)
    made = Scheduler(waiting=200, at_once=request.param, clock=lambda: next(ticks))
    yield made
    made.close()


def asked_for(sampler: Sampler) -> list[Callable[[Step], Any]]:
    """Requests of all samplers, with other steps, numbers, sizes of a call, labels and guidance."""
    works: list[Callable[[Step], Any]] = []
    for i, kind in enumerate(SAMPLERS * 4):
        n, recipe = 1 + i % 13, sampler.recipe(kind, 2 + 3 * i % 17, 0.5 * (i % 3))
        seeds, labels = range(7 * i, 7 * i + n), [(None, 0, 1, 2)[(i + k) % 4] for k in range(n)]

        def work(
            step: Step, recipe: Any = recipe, seeds: Any = seeds, labels: Any = labels, rows: int = 1 + i % 5
        ) -> Any:
            return sampler.sample(recipe, seeds, {"label": labels}, batch_size=rows, on_step=step)

        works.append(work)
    return works


def together(scheduler: Scheduler, works: list[Callable[[Step], Any]]) -> tuple[list[Any], list[int]]:
    """What they give, each submitted when those before it have taken a step or more, and the order of their steps."""
    order: list[int] = []
    rest = iter(enumerate(works))
    jobs: list[Job] = []

    def submit() -> None:
        for number, work in itertools.islice(rest, 2):
            job = Job(
                lambda step, number=number, work=work: work(joined(step, number)), 10, 1e12, f"client {number % 7}"
            )
            jobs.append(job)
            scheduler.submit(job)

    def joined(step: Step, number: int) -> Step:
        def after(done: int, total: int) -> None:
            order.append(number)
            submit()
            step(done, total)

        return after

    submit()
    while True:
        futures = [job.future for job in jobs]
        wait(futures, 60)
        if len(jobs) == len(futures):
            return [job.future.result(0) for job in jobs], order


def alone(step: int, total: int) -> None:
    """Nobody else comes first."""


def test_samples_have_the_bytes_they_have_alone(sampler: Sampler, scheduler: Scheduler) -> None:
    works = asked_for(sampler)
    expected = [work(alone) for work in works]
    found, order = together(scheduler, works)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(order) > 200
    assert sum(one != other for one, other in itertools.pairwise(order)) > len(order) / 2  # they did take turns


def test_rollouts_share_the_device_too(scheduler: Scheduler, tmp_path: Path) -> None:
    rollout = Sampler(rollout_bundle(tmp_path / "rollout"), "cpu")

    def rolled(step: Step, seed: int, size: int) -> Any:
        return rollout.sample(rollout.recipe(), [seed, seed + 1], conditions(2), batch_size=size, on_step=step)

    works: list[Callable[[Step], Any]] = [
        lambda step, seed=seed, size=size: rolled(step, seed, size) for seed in range(4) for size in (1, 2)
    ]
    expected = [work(alone) for work in works]
    for one, other in zip(expected, together(scheduler, works)[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_edits_share_the_device_too(sampler: Sampler, scheduler: Scheduler) -> None:
    datum = sampler.sample(sampler.recipe(), [3], {"label": [1]})[0]
    keep = np.arange(datum.shape[-1]) < 3

    def edited(step: Step, seed: int) -> Any:
        editor = Editor(sampler, sampler.recipe("ddim", 20), 2, {"label": [1, 2]})
        seeds = [seed, seed + 9]
        edit = editor.inpainting(datum, keep, 2) if seed % 2 else editor.variation(datum, 0.5)
        return editor.run(edit, seeds, batch_size=1 + seed % 2, on_step=step)

    works: list[Callable[[Step], Any]] = [lambda step, seed=seed: edited(step, seed) for seed in range(6)]
    expected = [work(alone) for work in works]
    for one, other in zip(expected, together(scheduler, works)[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_requests_may_share_the_calls_of_the_network(sampler: Sampler) -> None:
    """Each keeps its own sampler, steps, labels and guidance; on a CPU not even the bits differ."""
    works = asked_for(sampler)
    expected = [work(alone) for work in works]
    shared, sizes = Sampler(sampler.bundle, "cpu"), list[int]()
    own = shared.network

    def counted(x: Any, t: Any, cond: Any) -> Any:
        sizes.append(len(x))
        return own(x, t, cond)

    shared._own = counted
    scheduler = Scheduler(waiting=200, at_once=4)
    shared.share_calls(lambda: scheduler.in_hand[0])
    try:
        found, _ = together(scheduler, asked_for(shared))
    finally:
        scheduler.close()
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert max(sizes) > 2 * 5  # more than any request asks for by itself


def test_a_service_with_common_calls_gives_the_same_bytes(sampler: Sampler) -> None:
    bodies = [{"seed": i, "n": 1 + i, "label": i % 3, "steps": 3 + i, "guidance": i / 2} for i in range(4)]
    served = Sampler(sampler.bundle, "cpu")
    app = create_app(served, replace(LIMITS, waiting=8, batch=4))
    with TestClient(create_app(sampler, LIMITS)) as client:
        expected = [post(client, **body).content for body in bodies]
    with TestClient(app) as client, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda body: post(client, **body).content, bodies)) == expected
        assert client.get("/v1/model").json()["limits"]["batch"] == 4
        assert isinstance(served.network, CommonCalls)
