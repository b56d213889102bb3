"""OpenAI's client under load: a queue that is full, and a stream that is left."""

import threading
from typing import Any

import numpy as np
import openai

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from tests.pipelines.serving.test_app_under_load import SlowSampler, in_background, until
from tests.support.served import LIMITS, listening


class ShowingSampler(SlowSampler):
    """A slow sampler that shows a step at its beginning."""

    def sample(self, *args: Any, watch: Any, **options: Any) -> Any:
        if watch is not None:
            watch(1, np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 8, 8)))
        return super().sample(*args, watch=None, **options)


def test_a_full_queue_is_a_rate_limit_that_tells_when_to_come_again(sampler: Sampler) -> None:
    slow = SlowSampler(sampler)
    with listening(create_app(slow, LIMITS)) as address:  # type: ignore[arg-type]
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
        found: list[Any] = []

        def ask(**options: Any) -> None:
            try:
                found.append(client.images.generate(prompt="1", **options))
            except openai.RateLimitError as error:
                found.append(error)

        threads = [in_background(ask)[0] for _ in range(3)]
        threads += [in_background(lambda: ask(stream=True))[0] for _ in range(2)]
        until(lambda: len(found) >= 2)
        slow.go.set()
        for thread in threads:
            thread.join(20)
        refused = [each for each in found if isinstance(each, openai.RateLimitError)]
        assert refused
        assert {(each.code, each.type) for each in refused} == {("queue_full", "rate_limit_error")}
        assert all(int(each.response.headers["retry-after"]) >= 1 for each in refused)
        patient = openai.OpenAI(base_url=f"{address}/v1", api_key="any")
        assert patient.images.generate(prompt="1").data


def test_a_stream_that_its_client_leaves_ends_at_the_next_step(sampler: Sampler) -> None:
    slow = ShowingSampler(sampler)
    with listening(create_app(slow, LIMITS)) as address:  # type: ignore[arg-type]
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
        stream = client.images.generate(prompt="1", stream=True, partial_images=1, timeout=20)
        assert next(iter(stream)).type == "image_generation.partial_image"
        stream.close()
        until(lambda: slow.ended == ["JobCancelled"])
        slow.go.set()
        assert client.images.generate(prompt="1").data
    assert threading.active_count() < 50
