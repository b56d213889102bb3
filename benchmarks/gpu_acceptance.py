"""One command that says whether training is right, repeatable and fast on this machine's GPU.

    python benchmarks/gpu_acceptance.py --out out/gpu.json --data digits.npz
    python benchmarks/gpu_acceptance.py --tiny --device cpu        # every check at toy size, on any machine

It needs torch, numpy, safetensors and ddpm_core, and nothing else; a check that lacks a package or a GPU is left out,
and that is no pass. The JSON is written after every check and after every part of a long one. Exactness comes first,
then a short training, then speed; what no longer fits into --minutes is left out.
`benchmarks/gpu_pack.py` makes the data of the short training.
"""

import argparse
import atexit
import gc
import json
import math
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASS, FAIL, LEFT_OUT = "pass", "fail", "left out"
_WIDTH = 118


class LeftOut(Exception):
    """A check that cannot be made here; the message says what it lacks."""


@dataclass
class Record:
    """What one check found: its numbers, the bars they were held against, and how it ended."""

    number: int
    name: str
    status: str = FAIL
    seconds: float = 0.0
    numbers: dict[str, Any] = field(default_factory=dict)
    bars: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    why: str | None = None
    traceback: str | None = None
    flush: Callable[[], None] = lambda: None

    def note(self, name: str, value: Any) -> None:
        """A number that no bar judges."""
        self.numbers[name] = value

    def at_most(self, name: str, value: float, bar: float) -> None:
        self._judge(name, value, f"<= {bar:g}", value <= bar)

    def at_least(self, name: str, value: float, bar: float) -> None:
        self._judge(name, value, f">= {bar:g}", value >= bar)

    def must(self, name: str, holds: bool, value: Any = None) -> None:
        """A claim that holds or not; `value` is what was seen."""
        self._judge(name, bool(holds) if value is None else value, "must hold", bool(holds))

    def _judge(self, name: str, value: Any, bar: str, holds: bool) -> None:
        self.numbers[name], self.bars[name] = value, bar
        if not holds:  # so is what is not a number
            self.failures.append(f"{name}: {bar}, got {value}")

    def content(self) -> dict[str, Any]:
        names = ("number", "name", "status", "seconds", "numbers", "bars", "failures", "why", "traceback")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Check:
    """A check, and how long it takes on one H100 (an estimate: it is left out where less time is left)."""

    number: int
    name: str
    run: Callable[[Any, Record], None]
    seconds: float


@dataclass
class Run:
    """The checks of one command, and the file that holds what they found."""

    checks: Sequence[Check]
    context: Any
    out: Path | None
    minutes: float
    about: dict[str, Any] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ends = self.clock() + 60 * self.minutes

    def left(self) -> float:
        """Seconds that are left of the budget."""
        return self.ends - self.clock()

    def all(self) -> bool:
        """Run every check, whatever became of the others; whether none failed."""
        for check in self.checks:
            record = Record(check.number, check.name, flush=self.write)
            self.records.append(record)
            self.one(check, record)
            self.write()
            print(_line(record), flush=True)
        return all(record.status != FAIL for record in self.records)

    def one(self, check: Check, record: Record) -> None:
        began = self.clock()
        if self.left() < check.seconds:
            record.status = LEFT_OUT
            record.why = f"no time: {max(self.left(), 0):.0f} s are left, it takes about {check.seconds:.0f} s"
            return
        try:
            check.run(self.context, record)
            record.status = FAIL if record.failures else PASS
        except LeftOut as missing:
            record.status, record.why = (FAIL if record.failures else LEFT_OUT), str(missing)
        except Exception as error:  # noqa: BLE001 (whatever it is, the next check runs)
            record.status, record.why = FAIL, f"{type(error).__name__}: {error}"
            record.traceback = traceback.format_exc()
        gc.collect()  # what a check held of the GPU's memory is the next one's
        record.seconds = round(self.clock() - began, 3)

    def write(self) -> None:
        """The file as it is now, whole or as it was before."""
        if self.out is None:
            return
        value = {"about": self.about, "checks": [finite(record.content()) for record in self.records]}
        part = self.out.with_name(self.out.name + ".part")
        part.write_text(json.dumps(value, indent=1, default=str) + "\n", encoding="utf-8")
        part.replace(self.out)


def finite(value: Any) -> Any:
    """The same with words for what JSON has no number for."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def table(records: Sequence[Record]) -> str:
    """Every check with its status, its seconds, and its judged numbers or what went wrong."""
    lines = ["", f"{'check':<34} {'status':<9} {'s':>6}  numbers"]
    for record in records:
        lines.append(_line(record))
        lines += [f"{'':>52} {text}" for text in record.failures]
    counts = {status: sum(record.status == status for record in records) for status in (PASS, FAIL, LEFT_OUT)}
    return "\n".join([*lines, ", ".join(f"{status}: {count}" for status, count in counts.items())])


def _line(record: Record) -> str:
    judged = ", ".join(f"{name} {_short(record.numbers[name])}" for name in record.bars)
    said = record.why if record.why is not None else judged
    head = f"{record.number:>2} {record.name:<31} {record.status:<9} {record.seconds:>6.1f}  "
    return (head + " ".join(said.split()))[: 2 * _WIDTH]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def checks() -> list[Check]:
    """In the order in which they are run: exactness, the short training, speed."""
    import gpu_checks as exact
    import gpu_checks_bits as bits
    import gpu_checks_more as more
    import gpu_checks_samples as samples
    import gpu_kernels
    import gpu_speed
    import gpu_training

    return [
        Check(1, "GPU against CPU", exact.devices_agree, 10),
        Check(2, "resume and roll back", exact.resumes, 20),
        Check(3, "the same bits twice", bits.repeats, 70),
        Check(4, "no wait for the GPU in a step", bits.never_waits, 5),
        Check(5, "a step that is not finite", exact.leaves_out, 10),
        Check(6, "a batch cut for memory", more.cuts, 10),
        Check(7, "a group of one process", more.group_of_one, 60),
        Check(8, "a save beside steps", more.saves, 15),
        Check(9, "profile", more.profiles, 15),
        Check(10, "samples and bound, CPU and GPU", samples.samples_agree, 20),
        Check(12, "short training", gpu_training.trains, 60),
        Check(11, "throughput, compiled", gpu_speed.compiled, 110),
        Check(13, "throughput, eager", gpu_speed.eager, 60),
        Check(14, "kernels of a compiled step", gpu_kernels.kernels, 110),
    ]


def about(device: Any) -> dict[str, Any]:
    """The machine and the versions that the numbers belong to."""
    import numpy
    import torch

    import ddpm_core

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "ddpm_core": str(Path(ddpm_core.__file__).parent),
        "when": time.strftime("%FT%TZ", time.gmtime()),
    }


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="every check at toy size, on whatever device there is")
    parser.add_argument("--only", help="numbers of checks, as 1,2,5")
    parser.add_argument("--out", type=Path, help="the JSON file, written after every check; pictures lie beside it")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--minutes", type=float, default=9.0, help="budget; what no longer fits is left out")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, help="compile networks; of itself on a GPU alone"
    )
    parser.add_argument("--data", type=Path, help="the .npz of gpu_pack.py, for the short training")
    return parser.parse_args(words)


def _begin() -> None:
    """What has to be so before torch is asked for anything.

    ddpm_core is found beside this folder, or by a PYTHONPATH to another tree. What is compiled lies in a folder of its
    own until the end, so that every run begins with none.
    """
    sys.path.append(str(Path(__file__).parents[1]))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, when cuBLAS starts
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="gpu-acceptance-code-")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def main(words: Sequence[str] | None = None) -> int:
    asked = arguments(words)
    _begin()
    import gpu_common

    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
    chosen = checks()
    if asked.only:
        wanted = {int(word) for word in asked.only.split(",")}
        chosen = [check for check in chosen if check.number in wanted]
    folder = asked.out.parent if asked.out else None
    context = gpu_common.Context.of(asked.device, asked.tiny, asked.data, folder, asked.compile)
    run = Run(chosen, context, asked.out, asked.minutes, {**about(context.device), "tiny": asked.tiny})
    context.left = run.left
    print(", ".join(f"{name} {value}" for name, value in run.about.items()), flush=True)
    well = run.all()
    run.write()
    print(table(run.records), flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    # The checks name this module, so it has to be one and the same under both names.
    sys.modules["gpu_acceptance"] = sys.modules["__main__"]
    sys.exit(main())
