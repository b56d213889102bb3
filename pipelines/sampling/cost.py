"""The cost of sampling, logged before it starts: samples, network evaluations, estimated time."""

import logging
import time
from typing import Literal

from ddpm_core.diffusion import noise
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.procedure import MODEL_FILE
from pipelines.runtime.progress import duration
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.parallel import Workers
from pipelines.sampling.recipe import Recipe

log = logging.getLogger(__name__)

_TIMED_SAMPLES = 16  # at most, in the call that is timed


def log_cost(
    sampler: Sampler, recipe: Recipe, config: EvaluateConfig, n: int, unseen: int, processes: int | Literal["auto"]
) -> None:
    """Log the cost of the n samples of stage evaluate, and whether `evaluate.n_most` reduced their number."""
    if config.n == "test" and (most := config.samples(unseen)) < unseen:
        log.warning(
            "evaluate.n: test asks about all %s unseen examples; evaluate.n_most limits them to %s "
            "(a number in evaluate.n has no limit)",
            f"{unseen:,}",
            f"{most:,}",
        )
    workers = Workers.of(processes, sampler.threads, sampler.device, -(-n // config.batch_size))
    at_once = workers.count if workers.gpus else 1  # processes on a CPU share the threads of the timed call
    seconds = recipe.cost(n) * seconds_an_evaluation(sampler, config.batch_size) / at_once
    log.info(
        "making %s samples from the bundle: %s network evaluations, estimated time %s",
        f"{n:,}",
        f"{recipe.cost(n):,}",
        duration(seconds),
    )


def seconds_an_evaluation(sampler: Sampler, batch_size: int) -> float:
    """Of one network evaluation of one datum: the second of two equal calls, as the first includes the set-up."""
    count = min(batch_size, _TIMED_SAMPLES)
    cond = sampler.bundle.graphs[MODEL_FILE].blank(count)
    x, t = noise.initial(range(count), cond.pop("x").shape[1:]), cond.pop("t") + 1
    sampler.network(x, t, cond)
    began = _now()
    sampler.network(x, t, cond)
    return (_now() - began) / count


def _now() -> float:
    return time.perf_counter()
