"""The core is not about pictures: a conditional network on vectors, element weights and a mask; an exact oracle."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.bundle.format import Bundle, read_bundle
from ddpm_core.device import seed_network
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.guidance import guided
from ddpm_core.diffusion.noise import initial
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.objectives.batch import Batch, LabelDropout
from ddpm_core.objectives.diffusion import DiffusionObjective
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named
from ddpm_core.spec import labelled
from ddpm_core.tensors.denoiser import bind, bind_guided
from ddpm_core.tensors.process import Process
from ddpm_core.training.trainer import Trainer
from pipelines.sampling.onnx_denoiser import OnnxDenoiser

SCHEDULE = Cosine("cosine", 50, 0.008, 0.999, False).build()
V = Parameterisation("v", SCHEDULE)
SPEC = labelled((2,), None, None, ("left", "right"))
MEANS = np.array([[-1.0, 0.5], [1.0, 0.5]], dtype=np.float32)  # of the two classes
SPREAD = 0.2


class VectorNet(nn.Module):
    """Points [B, 2] of a class, with the level told by its signal and noise."""

    def __init__(self) -> None:
        super().__init__()
        self.label = nn.Embedding(3, 32)
        self.inputs = nn.Linear(4, 32)
        self.body = nn.Sequential(nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 2))
        self.register_buffer("signal", torch.from_numpy(SCHEDULE.a.astype(np.float32)))

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        a = self.signal[t.long()][:, None]
        out: Tensor = self.body(self.inputs(torch.cat([x, a, (1 - a**2).sqrt()], 1)) + self.label(label))
        return out


def points(start: int) -> Iterator[Batch]:
    """Points whose second coordinate is not known in one of three, where it holds nonsense."""
    step = start
    while True:
        rng = np.random.default_rng((7, step))
        label = rng.integers(0, 2, 128)
        x0 = MEANS[label] + SPREAD * rng.standard_normal((128, 2)).astype(np.float32)
        mask = np.ones_like(x0)
        mask[rng.random(128) < 1 / 3, 1] = 0
        x0[mask == 0] = np.nan
        weight = np.broadcast_to(np.array([2.0, 0.5], dtype=np.float32), x0.shape).copy()
        cond = {"label": torch.from_numpy(label)}
        yield Batch(torch.from_numpy(x0.astype(np.float32)), cond, torch.from_numpy(mask), torch.from_numpy(weight))
        step += 1


@pytest.fixture(scope="module")
def trained() -> Trainer:
    law = Uniform("uniform", True).build(SCHEDULE)
    objective = DiffusionObjective(Process(V), np.ones(51), law, dropout=LabelDropout({"label": 2}, 0.1))
    config = replace(tiny.CONFIG, steps=400, log_every=100, ema_decay=0.98, lr=1e-2)
    seed_network(0, 0)
    trainer = Trainer(VectorNet(), objective, config, points, device=tiny.CPU, dtype=torch.float32)
    losses = [report.measures.loss for report in trainer.run() if report.measures]
    assert losses[-1] < 0.75 * losses[0]
    return trainer


LABEL = torch.arange(200) % 2
PLAN = replace(named("ddim", 25, None), bound="none").plan(SCHEDULE, "fixed_small")
X_T = initial(range(200), SPEC.shape)


def assert_classes(x: Any) -> None:
    for of_class in (0, 1):
        mine = x[LABEL.numpy() == of_class]
        np.testing.assert_allclose(mine.mean(0), MEANS[of_class], atol=0.12)
        np.testing.assert_allclose(mine.std(0), SPREAD, atol=0.1)


def test_a_conditional_network_on_vectors_trains_and_samples_its_classes(trained: Trainer) -> None:
    x_T = torch.from_numpy(X_T)
    for denoise in (
        bind(trained.ema.model, {"label": LABEL}),
        bind_guided(trained.ema.model, {"label": LABEL}, 0.0, null={"label": 2}, channels=2),
    ):
        assert_classes(generate(PLAN, V, denoise, x_T, lambda _step: torch.zeros_like(x_T)).numpy())


def test_it_exports_and_its_bundle_samples_the_same_vectors(trained: Trainer, tmp_path: Path) -> None:
    net = trained.ema.model
    model = export_onnx(net, SPEC, opset=20)
    assert model == export_onnx(net, SPEC, opset=20)
    sample = asdict(SampleConfig(named("ddim", 25, None), GuidanceConfig(0.0, None, 0.0), 0))
    Bundle(
        spec=SPEC,
        schedule=SCHEDULE,
        target="v",
        variance="fixed_small",
        sample=sample,
        golden=None,
        provenance={},
        model=model,
    ).write(tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    run = OnnxDenoiser(bundle, "cpu")
    assert assert_parity(net, run, bundle.spec, top_time=50.0, tolerance=1e-4) < 1e-5
    for weight, interval in ((0.0, None), (1.5, None), (1.5, (10.0, 40.0))):
        served = guided(run, {"label": LABEL.numpy()}, weight, null=bundle.spec.null, channels=2, interval=interval)
        x = generate(PLAN, bundle.parameterisation, served, X_T, lambda _step: np.zeros_like(X_T))
        in_torch = bind_guided(net, {"label": LABEL}, weight, null={"label": 2}, channels=2, interval=interval)
        expected = generate(PLAN, V, in_torch, torch.from_numpy(X_T), lambda _step: torch.zeros(200, 2)).numpy()
        np.testing.assert_allclose(x, expected, atol=1e-5)
        if weight == 0:
            assert_classes(x)


class Affine(nn.Module):
    """x0_hat = slope[t] x + offset[t], one pair a level: the family that holds the exact denoiser of a Gaussian."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.slope, self.offset = nn.Embedding(levels + 1, 1), nn.Embedding(levels + 1, 1)
        nn.init.zeros_(self.slope.weight)
        nn.init.zeros_(self.offset.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.slope(t.long()) * x + self.offset(t.long())


@pytest.mark.parametrize("target", ["x0", "eps"])
def test_training_on_a_gaussian_converges_to_its_exact_denoiser(target: str) -> None:
    """Data N(m, s^2): E[x_0 | x_t] = m + s^2 a (x_t - a m) / (a^2 s^2 + g^2), affine in x_t at every level."""
    m, s, T = 0.3, 0.5, 6
    schedule = Cosine("cosine", T, 0.008, 0.999, False).build()

    def gaussian(start: int) -> Iterator[Batch]:
        step = start
        while True:
            rng = np.random.default_rng((1, step))
            yield Batch(torch.from_numpy((m + s * rng.standard_normal((512, 1))).astype(np.float32)), {})
            step += 1

    parameterisation = Parameterisation(target, schedule)
    law = Uniform("uniform", True).build(schedule)
    objective = DiffusionObjective(Process(parameterisation), np.ones(T + 1), law)
    config = replace(tiny.CONFIG, steps=500, lr=0.1, log_every=250, ema_decay=0.97, grad_clip=0.0)
    trainer = Trainer(Affine(T), objective, config, gaussian, device=tiny.CPU, dtype=torch.float32)
    for _ in trainer.run():
        pass
    for t in range(1, T + 1):
        a, g = float(schedule.a[t]), float(schedule.g[t])
        x_t = torch.linspace(-1.5, 1.5, 7)[:, None]
        out = trainer.ema.model(x_t, torch.full((7,), float(t))).detach().numpy()
        exact = m + s**2 * a * (x_t.numpy() - a * m) / (a**2 * s**2 + g**2)
        answer = parameterisation.target_of(exact, x_t.numpy(), (x_t.numpy() - a * exact) / g, t)
        np.testing.assert_allclose(out, answer, atol=0.06)
