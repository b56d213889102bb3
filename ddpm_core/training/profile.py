"""Where the time of a step goes: a trace for a browser and a table, of a few steps after those that warm up."""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import torch
from torch.profiler import ProfilerActivity, profile
from torch.profiler import record_function as span

from ddpm_core.training.trainer import StepReport

SPANS = ("data", "draw", "forward", "backward", "optimiser", "average")
"""What the trainer names of a step; all else is `other`: looking at the losses, collecting them, the loop."""


def profiled(reports: Iterator[StepReport], folder: Path, *, warm_up: int, steps: int, device: torch.device) -> str:
    """Take `warm_up` steps and then watch `steps`; writes trace.json, table.txt and operators.txt, gives the table."""
    for _ in range(warm_up):
        next(reports)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    began = perf_counter()
    with profile(activities=activities) as watched:
        for _ in range(steps):
            with span("step"):
                next(reports)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
    seconds = perf_counter() - began
    averages = watched.key_averages()
    spent = {event.key: event.cpu_time_total / 1e3 / steps for event in averages if event.key in (*SPANS, "step")}
    text = table(spent) + f"\nmean of {steps} steps after {warm_up}, watched ({seconds / steps * 1e3:.1f} ms a step)\n"
    folder.mkdir(parents=True, exist_ok=True)
    watched.export_chrome_trace(str(folder / "trace.json"))
    (folder / "operators.txt").write_text(averages.table(sort_by="self_cpu_time_total", row_limit=25) + "\n")
    (folder / "table.txt").write_text(text)
    return text


def table(spent: dict[str, float]) -> str:
    """Milliseconds of each span and their share of `step`; what no span holds is `other`."""
    whole = spent["step"]
    rows = {name: spent.get(name, 0.0) for name in SPANS}
    rows = {**rows, "other": whole - sum(rows.values()), "step": whole}
    lines = [f"{name:<10} {value:9.2f} ms {100 * value / whole:6.1f} %" for name, value in rows.items()]
    return "\n".join(lines)
