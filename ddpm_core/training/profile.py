"""Profiles a few steps after a warm-up: a trace for a browser and a table of times."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ddpm_core.training.spans import span, watched
from ddpm_core.training.trainer import StepReport

SPANS = ("data", "draw", "forward", "backward", "recorded", "optimiser", "average")
"""The spans of a step; `recorded` is forward and backward in one, on a GPU. The rest of a step is `other`.
"""


def profiled(reports: Iterator[StepReport], folder: Path, *, warm_up: int, steps: int, device: torch.device) -> str:
    """Run `warm_up` steps, then profile `steps`; writes trace.json, table.txt and operators.txt, gives the table."""
    for _ in range(warm_up):
        next(reports)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    began = perf_counter()
    with profile(activities=activities) as seen, watched(device):
        for _ in range(steps):
            with span("step"):
                next(reports)
    seconds = perf_counter() - began
    averages = seen.key_averages()
    text = (
        table({name: value / steps for name, value in milliseconds(averages).items()})
        + f"\nmean of {steps} steps after {warm_up}, profiled ({seconds / steps * 1e3:.1f} ms a step)\n"
    )
    by = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    folder.mkdir(parents=True, exist_ok=True)
    seen.export_chrome_trace(str(folder / "trace.json"))
    (folder / "operators.txt").write_text(averages.table(sort_by=by, row_limit=25) + "\n")
    (folder / "table.txt").write_text(text)
    return text


def milliseconds(averages: Iterable[Any]) -> dict[str, float]:
    """The time of each span on the host. A GPU's profile lists every span again for the device, without a host time."""
    return {
        event.key: event.cpu_time_total / 1e3
        for event in averages
        if event.key in (*SPANS, "step") and event.device_type == torch.profiler.DeviceType.CPU
    }


def table(spent: dict[str, float]) -> str:
    """Milliseconds of each span and its share of `step`; the rest is `other`."""
    whole = spent["step"]
    rows = {name: spent.get(name, 0.0) for name in SPANS}
    rows = {**rows, "other": whole - sum(rows.values()), "step": whole}
    lines = [f"{name:<10} {value:9.2f} ms {100 * value / whole:6.1f} %" for name, value in rows.items()]
    return "\n".join(lines)
