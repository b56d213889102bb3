"""What an evaluation of each network costs: CPU time on one thread, the networks in turn, medians."""

import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ddpm_core.bundle.format import Bundle
from ddpm_core.diffusion import noise
from ddpm_core.procedure import MODEL_FILE
from pipelines.sampling.onnx_denoiser import OnnxDenoiser

_ROUNDS = 9


def milliseconds(bundles: Mapping[str, Bundle], batches: Iterable[int]) -> dict[str, dict[str, float]]:
    """CPU milliseconds a datum and evaluation, by name and batch; other work on the machine hardly moves them."""
    nets = {name: OnnxDenoiser(bundle, "cpu", 1) for name, bundle in bundles.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in nets}
    for batch in batches:
        spent: dict[str, list[float]] = {name: [] for name in nets}
        for turn in range(_ROUNDS + 1):
            for name, net in nets.items():
                x, t, cond = _inputs(bundles[name], batch)
                began = time.process_time()
                net(x, t, cond)
                if turn:  # the first call sets up
                    spent[name].append(time.process_time() - began)
        for name, seconds in spent.items():
            found[name][str(batch)] = round(1000 * statistics.median(seconds) / batch, 4)
    return found


def _inputs(bundle: Bundle, batch: int) -> tuple[Any, Any, dict[str, Any]]:
    cond = bundle.graphs[MODEL_FILE].blank(batch)
    x = noise.initial(range(batch), cond.pop("x").shape[1:])
    return x, cond.pop("t") + 1, cond
