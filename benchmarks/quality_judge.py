"""What the averages in benchmarks/time_to_quality.py are worth: samples of one sampler, scored as in stage evaluate."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality_sides import Side
from sampler_quality import Judge
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.tensors.denoiser import bind, bind_guided
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.shards.archive import read_index, read_split

EVALUATIONS, LOOK, BATCH = 25, 128, 64


class Scale:
    """Samples of a side and what they score: a look at 128, and as many as the test split has where it is near.

    `evaluations` of the network a picture are for sides without labels; those with labels sample as params.yaml says.
    """

    def __init__(self, project: Path, evaluations: int = EVALUATIONS) -> None:
        self._steps, self._rows = evaluations, 0
        paths = Paths.of(project)
        self._sample, self._spec = load_params(paths.params).sample, read_index(paths.shards).spec
        self._look, self._whole = (Judge(project, n, 0, any_label=True) for n in (LOOK, None))
        real = self._whole.measures(read_split(paths.shards, "train").x[: self._whole.n])
        self._floors = {split: real[f"fcd_{split}"] / real[f"ratio_{split}"] for split in ("train", "test")}

    def judge(self, side: Side, near: float) -> dict[str, Any]:
        """Scores, and n: all samples are made where the look gives a ratio below `near`."""
        self._rows, n = 0, LOOK
        images = self._images(side, 0, LOOK)
        scores = self._as_of_all(self._look.measures(images))
        if scores["ratio_train"] < near:
            n = self._whole.n
            scores = self._whole.measures(np.concatenate([images, self._images(side, LOOK, n)]))
        if not side.conditional:
            del scores["accuracy_asked"]
        return {"n": n, "evaluations": round(self._rows / n), **scores}

    def _as_of_all(self, scores: dict[str, float]) -> dict[str, float]:
        """The ratios with the distance that the look would have at all n: less what real digits' own grows by."""
        ratios = {}
        for split, floor in self._floors.items():
            fcd = scores[f"fcd_{split}"]
            grown = fcd / scores[f"ratio_{split}"] - floor
            ratios[f"ratio_{split}"] = (fcd - grown) / floor
        return {**scores, **ratios}

    def _images(self, side: Side, start: int, stop: int) -> Any:
        net = side.average
        counting = net.register_forward_hook(self._count)
        parts = [range(first, min(first + BATCH, stop)) for first in range(start, stop, BATCH)]
        images = np.concatenate([self._part(side, net, seeds) for seeds in parts])
        counting.remove()
        return images

    def _count(self, _net: Any, _given: Any, out: Tensor) -> None:
        self._rows += len(out)

    def _part(self, side: Side, net: Any, seeds: range) -> Any:
        spec, schedule, sampler = self._spec, side.parameterisation.schedule, self._sample.sampler
        if side.conditional:
            guidance = self._sample.guidance
            denoise = bind_guided(
                net,
                {"label": torch.from_numpy(self._whole.labels[seeds.start : seeds.stop])},
                guidance.weight,
                null=spec.null,
                channels=spec.channels,
                dtype=side.sampled_in,
                interval=guidance.time_interval(schedule),
                rescale=guidance.rescale,
            )
        else:
            sampler, denoise = replace(sampler, steps=self._steps), bind(net, {}, side.sampled_in)
        plan = sampler.plan(schedule, "fixed_small")
        shape = (spec.channels, *(length + 2 * side.padding for length in spec.shape[1:]))

        def noise(step: int) -> Tensor:
            return torch.from_numpy(step_noise(list(seeds), step, shape))

        x_T = torch.from_numpy(initial(list(seeds), shape) * np.float32(plan.start_scale))
        x0 = generate(plan, side.parameterisation, denoise, x_T, noise, bound=operator(plan.bound, spec.range))
        return spec.decode(F.pad(x0, (-side.padding,) * 4).numpy())
