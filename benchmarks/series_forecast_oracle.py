"""TimeGrad's forecasts beside the exact ones: a VAR(1), whose forecast is a Gaussian in closed form.

    python benchmarks/series_forecast_oracle.py

x_{w+1} = A x_w + e: four correlated series of variance 1. The network learns from new windows by this project's own
objective, with a learned variance. Then it is exported, and its bundle makes forecasts of windows that it has not seen,
by numpy and onnxruntime, column by column. Ratios are to the exact forecast of the same histories: of the CRPS of the
sum of the series, of the energy score of all series at a step and of the whole path, and of the variance of samples.
Scores and coverage are expectations over the true future, not those of one future for each history, so that a few
hundred histories tell one per cent.
"""

import argparse
import os
import sys
import time
from dataclasses import asdict, dataclass

import common
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from var_process import standard

from ddpm_core.bundle.export import assert_parity, export_onnx
from ddpm_core.bundle.format import Bundle
from ddpm_core.device import keep_memory
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.models.timegrad_config import TimeGradConfig
from ddpm_core.objectives.batch import Batch
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, graphs_of, procedure_of
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named
from ddpm_core.spec import Condition, DataSpec
from ddpm_core.training.ema import Ema
from pipelines.sampling.bundle_sampler import Sampler

Floats = NDArray[np.float64]
K, L, H = 4, 16, 6
SPEC = DataSpec((K, H), None, None, {name: Condition((K, L), "float32", (), None) for name in ("history", "seen")})
BARS = {"crps_sum": (0.0, 1.02), "energy": (0.0, 1.02), "cover90": (0.88, 0.92), "dispersion": (0.97, 1.03)}


@dataclass(frozen=True)
class Var:
    """A, the covariance of e, and that of x, which has ones on its diagonal."""

    A: Floats
    noise: Floats
    covariance: Floats

    @classmethod
    def standard(cls, seed: int = 5) -> "Var":
        return cls(*standard(K, seed))

    def windows(self, n: int, random: np.random.Generator) -> Floats:
        """[n, K, L + H]"""
        x = np.linalg.cholesky(self.covariance) @ random.standard_normal((K, n))
        return np.stack([x, *self._on(x, L + H - 1, random)], axis=2).swapaxes(0, 1)

    def futures(self, last: Floats, m: int, random: np.random.Generator) -> Floats:
        """Exact forecasts from the last values [n, K]: [m, n, K, H]"""
        start = np.repeat(last[None], m, axis=0).reshape(-1, K).T
        return np.stack(self._on(start, H, random), axis=2).swapaxes(0, 1).reshape(m, len(last), K, H)

    def _on(self, x: Floats, steps: int, random: np.random.Generator) -> list[Floats]:
        root, found = np.linalg.cholesky(self.noise), []
        for _ in range(steps):
            x = self.A @ x + root @ random.standard_normal(x.shape)
            found.append(x)
        return found

    def forecast(self, last: Floats) -> tuple[Floats, Floats]:
        """The mean of each step from the last values [n, K], [n, K, H], and its covariance [H, K, K]."""
        means, covariances, S = [], [], np.zeros((K, K))
        for _ in range(H):
            last, S = last @ self.A.T, self.A @ S @ self.A.T + self.noise
            means.append(last)
            covariances.append(S)
        return np.stack(means, axis=2), np.stack(covariances)


def crps_ratio(samples: Floats, mean: Floats, std: Floats) -> float:
    """The expected CRPS of samples [m, ...] where the truth is N(mean, std^2), by that of the truth itself."""
    m, z = len(samples), (samples - mean) / std
    far = z * (2 * ndtr(z) - 1) + 2 * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)  # E |z - Z|
    weights = (2 * np.arange(1, m + 1) - m - 1).reshape(-1, *(1,) * mean.ndim)
    apart = (weights * np.sort(z, axis=0)).sum(axis=0) / (m * (m - 1))  # half the mean distance of two
    return float((std * (far.mean(axis=0) - apart)).mean() / (std / np.sqrt(np.pi)).mean())


def mean_distance(one: Floats, other: Floats) -> float:
    """Of every pair of one [m, d, ...] and other [q, d, ...], over the first axis of each."""
    return float(np.mean([np.sqrt(((other - each) ** 2).sum(axis=1)).mean() for each in one]))


def energy_ratio(samples: Floats, truth: Floats) -> float:
    """The expected energy score of samples [m, d, ...], by that of the truth, both from draws of the truth."""
    m, q = len(samples), len(truth)
    own, true = mean_distance(samples, samples) * m / (m - 1), mean_distance(truth, truth) * q / (q - 1)
    return (mean_distance(samples, truth) - own / 2) / (true / 2)


def judge(var: Var, x: Floats, samples: Floats, truth: Floats) -> dict[str, float]:
    """Ratios to the exact forecast of histories x [n, K, L], of samples [m, n, K, H]; `truth` are draws of it."""
    mean, covariance = var.forecast(x[:, :, -1])
    variance = np.stack([np.diag(S) for S in covariance], axis=1)  # [K, H]
    std, std_of_sum = np.sqrt(variance), np.sqrt(covariance.sum(axis=(1, 2)))
    step, true_step = samples.swapaxes(1, 2), truth.swapaxes(1, 2)
    paths = [each.reshape(len(each), len(x), -1).swapaxes(1, 2) for each in (samples, truth)]
    low, high = np.quantile(samples, [0.05, 0.95], axis=0, method="weibull")  # unbiased for few samples
    drawn = samples.var(axis=0, ddof=1).mean(axis=0) / variance  # [K, H]
    off = samples[:, :, :, 0] - samples[:, :, :, 0].mean(axis=0)
    one_step = np.einsum("mni,mnj->ij", off, off) / ((len(samples) - 1) * len(x))
    return {
        "crps_sum": crps_ratio(samples.sum(axis=2), mean.sum(axis=1), std_of_sum),
        "crps": crps_ratio(samples, mean, np.broadcast_to(std, mean.shape)),
        "energy": energy_ratio(step, true_step),
        "energy_of_path": energy_ratio(*paths),
        "cover90": float((ndtr((high - mean) / std) - ndtr((low - mean) / std)).mean()),
        "dispersion": float(drawn.mean()),
        "dispersion_1": float(drawn[:, 0].mean()),
        f"dispersion_{H}": float(drawn[:, -1].mean()),
        "covariance_off": float(np.abs(one_step - covariance[0]).max()),
    }


def diffusion(args: argparse.Namespace) -> DiffusionConfig:
    schedule = Cosine("cosine", args.levels, 0.008, 0.999, False)
    return DiffusionConfig(
        "diffusion", schedule, args.target, "learned", Simple("simple"), Uniform("uniform", True), args.vlb_weight
    )


def cond_of(x: Floats) -> dict[str, NDArray[np.float32]]:
    return {"history": x[:, :, :L].astype(np.float32), "seen": np.ones((len(x), K, L), np.float32)}


def train(config: TimeGradConfig, var: Var, args: argparse.Namespace) -> torch.nn.Module:
    """The averaged weights; the rate rises over a twentieth of the steps and falls as a cosine."""
    torch.manual_seed(args.seed)
    net = config.build(SPEC, True)
    ema, objective = Ema(net, args.ema, 10.0), diffusion(args).build(SPEC, None)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.0, fused=True)
    random = np.random.default_rng(1000 + args.seed)
    losses = []
    for step in range(args.steps):
        way = step / args.steps
        for group in optimiser.param_groups:
            group["lr"] = args.lr * min(1.0, way / 0.05 + 0.01) * 0.5 * (1 + np.cos(np.pi * way))
        x = var.windows(args.batch, random)
        cond = {name: torch.from_numpy(value) for name, value in cond_of(x).items()}
        draw = objective.draw(Batch(torch.from_numpy(x[:, :, L:].astype(np.float32)), cond), args.seed, step)
        optimiser.zero_grad()
        loss = objective.loss(net, draw)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        ema.update(net, ema.shares(step))
        losses.append(float(loss.total.detach()))
        if (step + 1) % max(1, args.steps // 8) == 0:
            print(f"step {step + 1}: loss {np.mean(losses[-200:]):.4f}, {time.process_time():.0f} CPU s", flush=True)
    return ema.model.eval()


def bundle_of(net: torch.nn.Module, args: argparse.Namespace) -> Bundle:
    graphs = graphs_of(SPEC, procedure_of(net), learned_variance=True)
    contents = {file: export_onnx(net, SPEC, opset=20, graph=graph) for file, graph in graphs.items()}
    sampler = SampleConfig(named("ancestral", args.levels, None), GuidanceConfig(0.0, None, 0.0), 0)
    made = Bundle(
        spec=SPEC,
        schedule=diffusion(args).parameterisation().schedule,
        target=args.target,
        variance="learned",
        sample=asdict(sampler),
        golden=None,
        provenance={},
        model=contents.pop(MODEL_FILE),
        procedure=procedure_of(net),
        others=contents,
    )
    started = Sampler(made, "cpu")
    assert started._encoder is not None
    for file, run in ((MODEL_FILE, started._net), (ENCODER_FILE, started._encoder)):
        off = assert_parity(net, run, SPEC, top_time=float(args.levels), tolerance=1e-5, graph=graphs[file])
        print(f"{file}: onnxruntime answers as torch does, to {off:.1e}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=("gru", "lstm"), default="gru")
    parser.add_argument("--head", choices=("mlp", "conv"), default="mlp")
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--levels", type=int, default=100)
    parser.add_argument("--target", choices=("v", "eps", "x0"), default="v")
    parser.add_argument("--vlb-weight", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--ema", type=float, default=0.995)
    parser.add_argument("--windows", type=int, default=256)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    keep_memory()
    print(common.machine("torch", "numpy", "onnxruntime-gpu"))
    var, random = Var.standard(), np.random.default_rng(7)
    config = TimeGradConfig("timegrad", args.cell, 1, args.cells, (1,), args.head, args.width, args.blocks, 0.0)
    net = train(config, var, args)
    print(
        f"{sum(weight.numel() for weight in net.parameters()):,} parameters; trained in {time.process_time():.0f} CPU s"
    )
    sampler = Sampler(bundle_of(net, args), "cpu")
    x, m = var.windows(args.windows, random)[:, :, :L], args.samples
    start = time.process_time()
    cond = {name: np.repeat(value, m, axis=0) for name, value in cond_of(x).items()}
    drawn = sampler.sample(sampler.recipe(), range(args.windows * m), cond, batch_size=1600)
    print(f"sampled in {time.process_time() - start:.0f} CPU s", flush=True)
    samples = drawn.reshape(args.windows, m, K, H).swapaxes(0, 1).astype(np.float64)
    truth = var.futures(x[:, :, -1], 100, random)
    found = judge(var, x, samples, truth)
    exact = judge(var, x, var.futures(x[:, :, -1], m, random), truth)
    failed = []
    for name, value in found.items():
        low, high = BARS.get(name, (-np.inf, np.inf))
        failed += [] if low <= value <= high else [name]
        bar = f"within {low:.2f} and {high:.2f}: {'yes' if low <= value <= high else 'NO'}" if name in BARS else ""
        print(f"{name:16s} {value:.4f}   exact forecast, as many samples: {exact[name]:.4f}   {bar}")
    print(f"all: {time.process_time():.0f} CPU s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
