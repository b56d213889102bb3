"""What a start of `ddpm serve` costs until it takes requests: CPU seconds (user and system) and memory (Linux).

    python benchmarks/serve_start.py --bundle out/bundle

Beside it, in turn, what Python takes to import the packages alone, as a measure of the machine at that moment.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from common import machine
from serve_clients import resident
from serve_throughput import cpu_seconds, served

PACKAGES = "import fastapi, numpy, onnxruntime, PIL.Image, prometheus_client, uvicorn"


def imports() -> float:
    """CPU seconds of a Python that imports what the service is made of."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", PACKAGES], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    starts, memory, packages = list[float](), list[float](), list[float]()
    for _ in range(args.repeats):
        with served(args.bundle, ["--threads", "1"], 16) as (_, pid):
            starts.append(cpu_seconds(pid))
            memory.append(resident(pid))
        packages.append(imports())
    model = sum(file.stat().st_size for file in args.bundle.glob("*.onnx")) / 1e6
    print(machine("onnxruntime-gpu", "fastapi", "numpy"))
    print(
        f"start to ready: {statistics.median(starts):.2f} CPU s in the median, {min(starts):.2f} to {max(starts):.2f}"
    )
    print(f"its packages alone: {statistics.median(packages):.2f}, {min(packages):.2f} to {max(packages):.2f}")
    print(f"memory: {statistics.median(memory):.0f} MB in the median, the model's files are {model:.1f} MB")


if __name__ == "__main__":
    main()
