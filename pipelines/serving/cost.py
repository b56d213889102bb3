"""What sampling will cost, said before it begins: pictures, network evaluations, and the time by a measured piece."""

import logging
import time
from typing import Literal

import numpy as np

from ddpm_core.diffusion import noise
from ddpm_core.metrics.config import EvaluateConfig
from pipelines.progress import duration
from pipelines.serving.parallel import Workers
from pipelines.serving.sampler import Recipe, Sampler

log = logging.getLogger(__name__)

_PIECE = 16  # pictures, at most, of the call that is measured


def announce(
    sampler: Sampler, recipe: Recipe, config: EvaluateConfig, unseen: int, processes: int | Literal["auto"]
) -> None:
    """Log what the samples of stage evaluate will cost, and whether `evaluate.n_most` made them fewer."""
    n = config.samples(unseen)
    if config.n == "test" and n < unseen:
        log.warning(
            "evaluate.n: test would be %s samples, as many as there are unseen pictures; evaluate.n_most allows %s, "
            "so %s are made (a number in evaluate.n is taken as it is)",
            f"{unseen:,}",
            f"{n:,}",
            f"{n:,}",
        )
    workers = Workers.of(processes, sampler.threads, sampler.device, -(-n // config.batch_size))
    at_once = workers.count if workers.gpus else 1  # processes on a CPU share the threads of the measured piece
    seconds = recipe.cost(n) * seconds_an_evaluation(sampler, config.batch_size) / at_once
    log.info(
        "sampling %s pictures through the bundle: %s network evaluations, about %s by a measured piece",
        f"{n:,}",
        f"{recipe.cost(n):,}",
        duration(seconds),
    )


def seconds_an_evaluation(sampler: Sampler, batch_size: int) -> float:
    """Of one network evaluation of one picture; of two equal calls the second, for the first sets things up."""
    count = min(batch_size, _PIECE)
    x = noise.initial(range(count), sampler.bundle.spec.shape)
    t, labels = np.ones(count, dtype=np.float32), np.zeros(count, dtype=np.int64)
    sampler.network(x, t, labels)
    began = _now()
    sampler.network(x, t, labels)
    return (_now() - began) / count


def _now() -> float:
    return time.perf_counter()
