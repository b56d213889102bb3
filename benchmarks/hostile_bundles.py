"""Bundles that somebody has changed, one change each: is every one refused, when it is read and when it is written?

    python benchmarks/hostile_bundles.py --bundle out/bundle --changes 1000

Seeded; read as `ddpm sample` and `ddpm serve` read one. A flipped bit, a file cut off or made longer, a path in place
of a file's name and a wrong digest are changes of the folder. In the others every digest is right, as an attacker would
make them: the graph has an unknown operator, weights in another file, a shape of its own, random numbers, or asks for
more memory than there is. Those are also tried where a bundle is written. A change that is read without an error is
printed, and the command ends with exit code 1.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import numpy as np
import onnx
from onnx import helper, numpy_helper

from ddpm_core.bundle.format import BUNDLE_FILE, Bundle, read_bundle
from ddpm_core.errors import DdpmError
from ddpm_core.files import json_bytes, sha256_bytes
from ddpm_core.procedure import MODEL_FILE
from pipelines.sampling.bundle_sampler import Sampler

Chance = random.Random
PATHS = (
    "../model.onnx",
    "/etc/passwd",
    "model.onnx/../../x",
    "sub/model.onnx",
    "",
    "model.onnx\0",
    "C:\\x",
    BUNDLE_FILE,
)
KEYS = ("spec", "schedule", "target", "variance", "sample", "model", "golden", "provenance", "format", "more")


# ---- changes of the folder: (folder, chance) -> what was done


def bit(folder: Path, chance: Chance) -> str:
    file = folder / chance.choice([MODEL_FILE, BUNDLE_FILE])
    content = bytearray(file.read_bytes())
    place = chance.randrange(8 * len(content))
    content[place // 8] ^= 1 << (place % 8)
    file.write_bytes(bytes(content))
    return f"bit {place} of {file.name}"


def length(folder: Path, chance: Chance) -> str:
    file = folder / chance.choice([MODEL_FILE, BUNDLE_FILE])
    content = file.read_bytes()
    cut = chance.randrange(len(content))
    file.write_bytes(content[:cut] if chance.random() < 0.5 else content + bytes(chance.randrange(1, 99)))
    return f"{file.name} cut at {cut} or made longer"


def missing(folder: Path, chance: Chance) -> str:
    file = folder / chance.choice([MODEL_FILE, BUNDLE_FILE])
    file.unlink()
    if chance.random() < 0.5:
        file.mkdir()
    return f"{file.name} missing or a folder"


def path(folder: Path, chance: Chance) -> str:
    name = chance.choice(PATHS)
    _told(folder, lambda content: content["model"].update(file=name))
    return f"the graph's file is {name!r}"


def digest(folder: Path, chance: Chance) -> str:
    wrong = f"{chance.getrandbits(256):064x}"
    _told(folder, lambda content: content["model"].update(sha256=wrong))
    return "the graph's digest is another"


def content(folder: Path, chance: Chance) -> str:
    """A key of bundle.json has another type, or there is one more."""
    key, value = chance.choice(KEYS), chance.choice([[], 7, "x", {"a": 1}, -1.5, True])
    if key == "provenance" and isinstance(value, dict):  # facts that nothing computes with may be any
        value = None
    _told(folder, lambda content: content.update({key: value}))
    return f"{key} is {value!r}"


def _told(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what bundle.json says; its own digest is right again."""
    told = json.loads((folder / BUNDLE_FILE).read_bytes())
    change(told)
    del told["content_sha256"]
    (folder / BUNDLE_FILE).write_bytes(json_bytes({**told, "content_sha256": sha256_bytes(json_bytes(told))}))


# ---- changes of the graph: every digest is right


def unknown(model: Any, chance: Chance) -> str:
    node = chance.choice(model.graph.node)
    if chance.random() < 0.5:
        node.op_type = f"Op{chance.getrandbits(32)}"
    else:
        node.domain = chance.choice(["com.microsoft", "ai.onnx.ml", "acme"])
    return f"operator {node.domain}.{node.op_type}"


def elsewhere(model: Any, chance: Chance) -> str:
    tensor = chance.choice(model.graph.initializer)
    place = chance.choice(["w.bin", "../../w.bin", "/etc/passwd"])
    tensor.external_data.add(key="location", value=place)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    return f"{tensor.name} in {place}"


def shape(model: Any, chance: Chance) -> str:
    tensor = chance.choice(model.graph.initializer)
    dims = [1 << chance.randrange(10, 62) for _ in range(chance.randrange(1, 4))]
    tensor.ClearField("dims")
    tensor.dims.extend(dims)
    return f"{tensor.name} of shape {dims}"


def memory(model: Any, chance: Chance) -> str:
    size = np.array([1 << chance.randrange(15, 30), 1 << chance.randrange(15, 30)], np.int64)
    name, operator = f"s{chance.getrandbits(32)}", chance.choice(["ConstantOfShape", "Expand", "Tile"])
    if chance.random() < 0.5:
        model.graph.initializer.append(numpy_helper.from_array(size, name))
    else:
        model.graph.node.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(size)))
    inputs = [name] if operator == "ConstantOfShape" else [model.graph.initializer[0].name, name]
    model.graph.node.append(helper.make_node(operator, inputs, [f"{name}.out"]))
    return f"{operator} of {size.tolist()}"


def drawn(model: Any, chance: Chance) -> str:
    operator = chance.choice(["RandomNormal", "RandomUniform"])
    model.graph.node.append(helper.make_node(operator, [], [f"r{chance.getrandbits(32)}"], shape=[2]))
    return operator


def inside(model: Any, chance: Chance) -> str:
    body = helper.make_graph([], "body", [], [])
    operator = chance.choice(["Loop", "If", "Scan"])
    parts = {"then_branch": body, "else_branch": body} if operator == "If" else {"body": body}
    model.graph.node.append(helper.make_node(operator, ["t"], ["y"], **parts))
    return operator


FOLDER = (bit, length, missing, path, digest, content)
GRAPH = (unknown, elsewhere, shape, memory, drawn, inside)


def tried(number: int, bundle: Bundle, source: Path, work: Path) -> tuple[str, str, bool]:
    """(kind of change, what was done, whether it was refused)."""
    chance, folder = Chance(number), work / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    kind = (*FOLDER, *GRAPH)[number % (len(FOLDER) + len(GRAPH))]
    if kind in FOLDER:
        return kind.__name__, kind(folder, chance), refused(lambda: Sampler(read_bundle(folder), "cpu"))
    model = onnx.load_from_string(bundle.model)
    done = kind(model, chance)
    graph = model.SerializeToString()
    (folder / MODEL_FILE).write_bytes(graph)
    _told(folder, lambda told: told["model"].update(sha256=sha256_bytes(graph), bytes=len(graph)))
    written = work / "written"
    both = refused(lambda: read_bundle(folder)) and refused(lambda: replace(bundle, model=graph).write(written))
    return kind.__name__, done, both and not written.exists()


def refused(act: Callable[[], object]) -> bool:
    try:
        act()
    except DdpmError:
        return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--changes", type=int, default=1000)
    args = parser.parse_args()
    bundle, counts, through = read_bundle(args.bundle), Counter[tuple[str, bool]](), 0
    seconds = time.process_time()
    with tempfile.TemporaryDirectory() as work:
        for number in range(args.changes):
            kind, done, good = tried(number, bundle, args.bundle, Path(work))
            counts[kind, good] += 1
            if not good:
                through += 1
                print(f"change {number}, {kind}: {done}: not refused", flush=True)
    print(common.machine("onnx"))
    rows = [
        [kind.__name__, str(counts[kind.__name__, True]), str(counts[kind.__name__, False])]
        for kind in (*FOLDER, *GRAPH)
    ]
    print(common.table(["change", "refused", "not refused"], rows))
    print(f"{args.changes - through} of {args.changes} refused, {time.process_time() - seconds:.0f} CPU s")
    return 1 if through else 0


if __name__ == "__main__":
    sys.exit(main())
