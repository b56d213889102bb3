"""What a start of `ddpm serve` costs until it takes requests: CPU seconds (user and system) and memory (Linux).

    python benchmarks/serve_start.py --bundle out/bundle

Beside it, in turn, what Python takes to import the packages alone, as a measure of the machine at that moment, and
what it takes to verify the bundle and to open its graph, which depends on the model.
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
MODEL = """
import sys, time
from pathlib import Path
from ddpm_core.bundle.format import read_bundle
from pipelines.sampling.onnx_denoiser import OnnxDenoiser
began = time.process_time()
OnnxDenoiser(read_bundle(Path(sys.argv[1])), "cpu", 1)
print(time.process_time() - began)
"""


def opening(bundle: Path) -> float:
    """CPU seconds to verify a bundle and open its graph."""
    command = [sys.executable, "-c", MODEL, str(bundle)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


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
    starts, memory, packages, models = list[float](), list[float](), list[float](), list[float]()
    for _ in range(args.repeats):
        with served(args.bundle, ["--threads", "1"], 16) as (_, pid):
            starts.append(cpu_seconds(pid))
            memory.append(resident(pid))
        packages.append(imports())
        models.append(opening(args.bundle))
    model = sum(file.stat().st_size for file in args.bundle.glob("*.onnx")) / 1e6
    print(machine("onnxruntime-gpu", "fastapi", "numpy"))
    print(
        f"start to ready: {statistics.median(starts):.2f} CPU s in the median, {min(starts):.2f} to {max(starts):.2f}"
    )
    print(f"its packages alone: {statistics.median(packages):.2f}, {min(packages):.2f} to {max(packages):.2f}")
    print(f"its model alone: {statistics.median(models):.2f}, {min(models):.2f} to {max(models):.2f}")
    rest = [start - model for start, model in zip(starts, models, strict=True)]
    print(f"beside the model: {statistics.median(rest):.2f}, {min(rest):.2f} to {max(rest):.2f}")
    print(f"memory: {statistics.median(memory):.0f} MB in the median, the model's files are {model:.1f} MB")


if __name__ == "__main__":
    main()
