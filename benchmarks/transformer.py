"""The transformer beside the U-Net on the same data, at equal CPU seconds of training.

    .venv/bin/python benchmarks/transformer.py --seconds 150    # of each side; prints the table

Both train as stage train does on one thread, with the params of a project and section `model` of params.yaml or of
pipelines/presets/transformer.yaml. A few updates of each, in turn, say how many fit into the seconds, so that both
learning rates rise over the first tenth and fall to zero at the end. The sides take turns; then each is judged by 128
samples, or as many as the test split has where it is near, by the sampler of params.yaml, in the project's own
features. The project needs the outputs of `ddpm run` on the digits.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import common

ROOT = Path(__file__).parents[1]
PRESET = ROOT / "pipelines" / "presets" / "transformer.yaml"
PROBED, TURN = 6, 10.0  # updates, of which the first three are not counted; CPU seconds
NEAR = 4.5  # ratio of a look at 128 samples below which as many are made as the test split has
COLUMNS = ("fcd_train", "fcd_test", "ratio_train", "ratio_test", "accuracy_asked")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=ROOT)
    parser.add_argument("--seconds", type=float, default=150.0, help="CPU seconds of training a side")
    parser.add_argument("--sides", nargs="+", default=("unet", "transformer", "transformer, patch 4"))
    args = parser.parse_args()

    import torch
    from quality_judge import Scale
    from quality_sides import Ours

    from pipelines.params import load_params

    torch.set_num_threads(1)
    preset = load_params(PRESET).model
    models = {
        "unet": load_params(ROOT / "params.yaml").model,
        "transformer": preset,
        "transformer, patch 4": replace(preset, patch=4, width=128, depth=6, heads=4),
    }

    def side(name: str, steps: int | None, folder: Path) -> Ours:
        train = {} if steps is None else {"steps": steps, "warmup_steps": steps // 10}
        folder.mkdir()
        return Ours(args.project, folder, {"model": models[name], "train": train})

    with tempfile.TemporaryDirectory() as place:
        probes = {name: side(name, None, Path(place) / f"{name}-probe") for name in args.sides}
        taken = {name: _seconds_of_an_update(probe) for name, probe in probes.items()}
        sides = {name: side(name, round(args.seconds / taken[name]), Path(place) / name) for name in args.sides}
        spent = dict.fromkeys(sides, 0.0)
        while running := [name for name in sides if not sides[name].ended]:
            name = min(running, key=spent.__getitem__)
            began = time.process_time()
            while time.process_time() - began < TURN and not sides[name].ended:
                sides[name].step()
            spent[name] += time.process_time() - began
        scale = Scale(args.project)
        rows = []
        for name, its in sides.items():
            scores = scale.judge(its, NEAR)
            weights = sum(p.numel() for p in its.average.parameters())
            cells = [name, f"{weights:,}", str(its.updates), f"{spent[name]:.0f}", str(scores["n"])]
            rows.append([*cells, *(f"{scores[column]:.3f}" for column in COLUMNS)])
    sys.stdout.write(common.machine("torch") + "\n\n")
    sys.stdout.write(common.table(["side", "parameters", "updates", "CPU s", "samples", *COLUMNS], rows) + "\n")


def _seconds_of_an_update(side: Any) -> float:
    each = []
    for _ in range(PROBED):
        began = time.process_time()
        side.step()
        each.append(time.process_time() - began)
    return sorted(each[PROBED // 2 :])[0]


if __name__ == "__main__":
    main()
