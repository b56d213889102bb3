"""A look at a training samples as the bundle will: by the one loop, each picture by its own seed."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.diffusion.arrays import Array
from ddpm_core.diffusion.bounds import operator
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.guidance import guided
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.samplers.config import named
from ddpm_core.spec import labelled
from ddpm_core.tensors.sampling import sample

SPEC = labelled((1, 3, 3), (-1.0, 1.0), 256, ("a", "b"))
SEEDS, LABELS = [5, 2, 9], np.array([0, 1, 0])
CASES = [("cosine", "v", "ancestral"), ("cosine", "v", "dpmpp_2m"), ("edm", "edm", "ancestral"), ("edm", "edm", "heun")]
CASES += [("cosine", "v", "unipc_2"), ("edm", "edm", "dpmpp_3m")]


def answer(x: Array, time: Array, label: Array | None) -> Array:
    shift = 0 if label is None else (label * 0.3).reshape(-1, 1, 1, 1)
    return 0.4 * x + 0.1 * (time / 1000).reshape(-1, 1, 1, 1) + shift


class Net(nn.Module):
    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return answer(x, t, None if label is None else label.float())


def images(parameterisation: Parameterisation, kind: str, seeds: list[int], labels: np.ndarray | None) -> np.ndarray:
    plan = named(kind, 6, None).plan(parameterisation.schedule, "fixed_small")
    return sample(
        Net(), plan, parameterisation, SPEC if labels is not None else SPEC.told(()), seeds=seeds,
        cond={} if labels is None else {"label": labels}, guidance=0.7, device=torch.device("cpu"), dtype=torch.float32,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "target", "kind"), CASES)
@pytest.mark.parametrize("labels", [None, LABELS])
def test_torch_makes_of_a_seed_what_numpy_makes_of_it(schedule_of, name, target, kind, labels) -> None:
    p = Parameterisation(target, schedule_of(name, 50))
    plan = named(kind, 6, None).plan(p.schedule, "fixed_small")

    def net(x: Array, t: Array, cond: Mapping[str, Array]) -> Array:
        return answer(x, t, cond["label"].astype(np.float32))

    plain = guided(net, {"label": LABELS}, 0.7, null={"label": 2}, channels=1)
    want = generate(
        plan,
        p,
        plain if labels is not None else lambda x, t: answer(x, t, None),
        initial(SEEDS, SPEC.shape) * np.float32(p.schedule.start_scale),
        lambda step: step_noise(SEEDS, step, SPEC.shape),
        bound=operator(plan.bound, SPEC.range),
    )
    got = images(p, kind, SEEDS, labels)
    assert got.dtype == np.float32
    assert got == pytest.approx(want, abs=1e-5)


def test_image_of_a_seed_does_not_depend_on_its_neighbours(schedule_of) -> None:
    p = Parameterisation("v", schedule_of("cosine", 50))
    together = images(p, "ancestral", SEEDS, LABELS)
    alone = [images(p, "ancestral", [seed], LABELS[i : i + 1])[0] for i, seed in enumerate(SEEDS)]
    assert np.stack(alone) == pytest.approx(together, abs=1e-6)
