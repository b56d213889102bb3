"""Stages prepare and shard on very many small pictures: CPU seconds, and the most memory of all processes together.

    python benchmarks/scale.py make raw.tar --pictures 100000 [--new 0.01]
    python benchmarks/scale.py run FOLDER raw.tar prepare shard [--partition 1000] [--workers 2] [--runner dask]
    python benchmarks/scale.py main --pictures 1000000

`make` writes a tar of grey PNGs of 28 x 28 pixels in ten class folders; with --new so many more follow in a folder of
their own within each class. `run` makes a project in FOLDER, unless there is one, and runs stages in it as DVC would.
Memory is the proportional share (PSS) of every process of the stage, looked at twice a second. `main` does what the
main process of stage prepare does for so many pictures, and nothing of the workers: it lists them, cuts the list and
puts finished partitions together. The tar's headers and the workers' results are made up.
"""

import argparse
import io
import json
import multiprocessing
import os
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from ddpm_core.files import atomic_write_json, sha256_file  # noqa: E402
from pipelines.kinds.partitioned import PartitionPlan, assemble, counted, write_partition  # noqa: E402
from pipelines.kinds.pictures.rows.partition import partition_plan  # noqa: E402
from pipelines.kinds.pictures.rows.row import PictureRow  # noqa: E402
from pipelines.kinds.pictures.sources import ImageFolder, image_folder  # noqa: E402
from pipelines.kinds.pictures.sources.contents import Slice  # noqa: E402
from pipelines.kinds.pictures.sources.tar_files import TarEntry  # noqa: E402
from pipelines.kinds.prepared import Accepted  # noqa: E402
from pipelines.kinds.split import PictureSplit  # noqa: E402
from pipelines.params import read_yaml  # noqa: E402
from pipelines.parsing import parse  # noqa: E402

SIDE, CLASSES = 28, 10
COLUMNS = {
    **{"width": SIDE, "height": SIDE, "mode": "L", "mean": 127.5, "std": 60.25, "min": 0, "max": 255},
    **{"found_width": SIDE, "found_height": SIDE, "group": ""},
}
FREQUENCIES = 144  # of a grey picture's fingerprint
SOURCE = {
    "kind": "image_folder",
    "labels": "folders",
    "resolution": SIDE,
    "channels": "grey",
    "fit": "crop",
    "filter": "box",
    "background": [0, 0, 0],
    "min_side": 8,
    "max_megapixels": 1.0,
    "max_megabytes": 1.0,
    "clusters": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make")
    make.add_argument("to", type=Path)
    make.add_argument("--pictures", type=int, required=True)
    make.add_argument("--new", type=float, default=0.0)
    run = commands.add_parser("run")
    run.add_argument("folder", type=Path)
    run.add_argument("source", type=Path)
    run.add_argument("stages", nargs="+")
    run.add_argument("--partition", type=int)
    run.add_argument("--workers", type=int, default=2)
    run.add_argument("--runner", default="local")
    alone = commands.add_parser("main")
    alone.add_argument("--pictures", type=int, required=True)
    alone.add_argument("--partition", type=int, default=1000)
    args = parser.parse_args()
    if args.command == "make":
        make_tar(args.to, args.pictures, round(args.new * args.pictures))
    elif args.command == "main":
        print(json.dumps(main_process(args.pictures, args.partition)))
    else:
        args.folder = args.folder.resolve()
        make_project(args.folder, args.source.resolve(), args.partition, args.workers, args.runner)
        for stage in args.stages:
            print(json.dumps(measured(args.folder, stage)), flush=True)


def make_tar(to: Path, pictures: int, new: int) -> None:
    """Picture i has the same bytes whatever the numbers are, and lies in class i modulo 10."""
    with tarfile.open(to, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(pictures + new):
            batch = "old" if number < pictures else "new"
            info = tarfile.TarInfo(f"{number % CLASSES}/{batch}/{number // CLASSES:07d}.png")
            data = picture(number)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def picture(number: int) -> bytes:
    """A PNG of random squares of 4 pixels."""
    levels = np.random.Generator(np.random.Philox(number)).integers(0, 256, (7, 7), dtype=np.uint8)
    lines = np.zeros((SIDE, SIDE + 1), np.uint8)
    lines[:, 1:] = levels.repeat(4, axis=0).repeat(4, axis=1)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def main_process(pictures: int, mean: int) -> dict[str, object]:
    """The memory of the main process after the listing, after the cuts, and at its most."""
    image_folder.read_tar = lambda path, root: [  # type: ignore[attr-defined]
        TarEntry((str(i % CLASSES), "old", f"{i // CLASSES:07d}.png"), Slice(path, "", 1024 * i, 300, (0, 0)))
        for i in range(pictures)
    ]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_tar(root / "raw.tar", 1, 0)
        source: ImageFolder = parse(ImageFolder, {"path": "raw.tar", **SOURCE}, "source")
        plan = partition_plan(source, root, mean)
        planned = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        parts = {name: root / "store" / name for name in plan.ids}
        maker = multiprocessing.get_context("fork").Process(target=make_results, args=(plan, parts))
        maker.start()
        maker.join()
        (root / "prepared").mkdir()
        counts, _ = counted(parts.values())
        split = PictureSplit(seed=0, test_fraction=0.2, near_duplicates="together")
        assemble(parts, root / "prepared", root / "manifest.parquet", PictureRow, plan, counts, split)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "pictures": counts.accepted,
        "partitions": len(parts),
        "planned_mb": round(1024 * planned / 1e6),
        "peak_mb": round(1024 * used.ru_maxrss / 1e6),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
    }


def make_results(plan: PartitionPlan, parts: dict[str, Path]) -> None:
    """Finished partitions with digests and fingerprints drawn at random."""
    drawn = os.urandom
    for part, place in zip(plan.parts, parts.values(), strict=True):
        place.mkdir(parents=True)
        outcomes = (
            Accepted(
                each.name, each.class_name, None, os.urandom(32).hex(), os.urandom(32).hex(), b"", COLUMNS, {}, drawn()
            )
            for each in part
        )
        write_partition(place, outcomes, PictureRow, ".png")


def make_project(folder: Path, source: Path, partition: int | None, workers: int, runner: str) -> None:
    """params.yaml and dvc.yaml, with a record of a contract that is kept: `run validate` makes a real one."""
    from ruamel.yaml import YAML

    folder.mkdir(parents=True, exist_ok=True)
    params = read_yaml(ROOT / "params.yaml")
    params["source"] = {"path": os.path.relpath(source, folder), **SOURCE}
    params["runtime"] |= {"workers": workers, "tracking": False}
    if "partition" in params:
        params["partition"]["pictures"] = partition
        params["runtime"]["runner"] = runner
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    shutil.copy(ROOT / "dvc.yaml", folder)
    if not (folder / "out" / "contract.json").is_file():
        atomic_write_json(folder / "out" / "contract.json", {"passed": True})


def measured(folder: Path, stage: str) -> dict[str, object]:
    """One stage in a process of its own, watched."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "pipelines.cli", "--project", str(folder), stage], cwd=ROOT)
    most, at_most, cpu = 0, 0, 0.0
    while process.poll() is None:
        used, count, seconds = used_by(process.pid)
        cpu = max(cpu, seconds)
        if used > most:
            most, at_most = used, count
        time.sleep(0.5)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "stage": stage,
        "exit": process.returncode,
        "cpu_s": round(max(cpu, waited), 1),
        "wall_s": round(time.monotonic() - began, 1),
        "peak_mb": round(most / 1e6),
        "processes": at_most,
        "shards": digests(folder / "data" / "shards"),
    }


def used_by(pid: int) -> tuple[int, int, float]:
    """Memory, number and CPU seconds so far of a process and all that it started."""
    used, count, seconds = 0, 0, 0.0
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return 0, 0, 0.0
    for each in family:
        try:
            used += share_of_memory(each.pid)
            times = each.cpu_times()
            seconds += times.user + times.system
            count += 1
        except psutil.Error:
            continue
    return used, count, seconds


def share_of_memory(pid: int) -> int:
    """The pages of a process, each divided by the number of processes that have it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def digests(folder: Path) -> str | None:
    """Of the index of the shards, which names the digest of each."""
    index = folder / "index.json"
    return sha256_file(index)[:16] if index.is_file() else None


if __name__ == "__main__":
    main()
