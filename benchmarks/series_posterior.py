"""Imputation and forecasts beside the exact answer: windows of a VAR(1), whose posterior is a Gaussian in closed form.

    python benchmarks/series_posterior.py --time-layer s4d --seconds 360
    python benchmarks/series_posterior.py --time-layer attention --seconds 360

Columns are correlated and have variance 1. A network learns from new windows for so many CPU seconds, by this project's
own objective, masks and samplers. Then, for windows it has not seen, it is asked for a random half of the values, and
for the last steps. Ratios are to the exact posterior: of the mean CRPS, and of the variance of samples. The time to the
forecast bar is that of the averaged weights, looked at with few samples of few steps as the training goes on, which is
on the safe side; looking is not counted.
"""

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

import common
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from var_process import standard

from ddpm_core import samplers
from ddpm_core.device import keep_memory
from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.diffusion.time_law import Uniform
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.diffusion.weighting import Simple
from ddpm_core.models.csdi import CSDIConfig
from ddpm_core.objectives.batch import Batch
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import Condition, DataSpec
from ddpm_core.tensors.sampling import sample
from ddpm_core.training.config import Muon
from ddpm_core.training.ema import Ema
from ddpm_core.training.lr import build_optimiser
from pipelines.kinds.series.training.masks import BlockMask, ForecastMask, MaskConfig, PatternMask, RandomMask, masked

Floats = NDArray[np.float64]
K, W, AHEAD = 4, 16, 4
LEVELS = 50
MASKS = MaskConfig(RandomMask(0.6, 0.1, 0.9), BlockMask(0.1, 2, 8), ForecastMask(0.3, 2, 6), PatternMask(0.0))
OPTIMISER = Muon("muon", 10.0, 0.95, (0.9, 0.99), 1e-8, 0.0)  # as in params.yaml
LOOKS = (20, 40, 60, 80, 100, 130, 160, 200, 240, 290, 340, 390)  # CPU seconds
BAR = {"forecast": 1.05, "random": 1.30}
SPEC = DataSpec(
    (K, W), None, None, {name: Condition((K, W), "float32", (), None) for name in ("observed", "told")}, masked=True
)


@dataclass(frozen=True)
class Var:
    """x_{w+1} = A x_w + e, stationary; the covariance of a window [K W, K W], columns first."""

    covariance: Floats

    @classmethod
    def standard(cls, seed: int = 5) -> "Var":
        A, _, covariance = standard(K, seed)
        lags = [covariance]
        for _ in range(W - 1):
            lags.append(A @ lags[-1])  # Cov(x_{w+h}, x_w)
        whole = np.empty((K, W, K, W))
        for w in range(W):
            for v in range(W):
                whole[:, w, :, v] = lags[w - v] if w >= v else lags[v - w].T
        return cls(whole.reshape(K * W, K * W))

    def windows(self, n: int, random: np.random.Generator) -> NDArray[np.float32]:
        root = np.linalg.cholesky(self.covariance)
        return (random.standard_normal((n, K * W)) @ root.T).reshape(n, K, W).astype(np.float32)

    def posterior(self, x: NDArray[np.float32], told: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Mean and standard deviation of every value given the told ones. [n, K, W] -> the same, twice"""
        mean, std = np.zeros(x.shape), np.zeros(x.shape)
        for place, (values, known) in enumerate(zip(x.reshape(len(x), -1), told.reshape(len(x), -1), strict=True)):
            S = self.covariance
            gain = np.linalg.solve(S[np.ix_(known, known)], S[np.ix_(known, ~known)]).T
            mean[place].flat[~known] = gain @ values[known]
            std[place].flat[~known] = np.sqrt(np.diag(S[np.ix_(~known, ~known)] - gain @ S[np.ix_(known, ~known)]))
        return mean, std


def expected_crps(samples: Floats, mean: Floats, std: Floats) -> Floats:
    """Of samples [m, ...], over truths from N(mean, std); without the bias of a small m."""
    m = len(samples)
    z = (samples - mean) / std
    apart = std * (z * (2 * ndtr(z) - 1) + 2 * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
    weights = (2 * np.arange(1, m + 1) - m - 1).reshape(-1, *(1,) * mean.ndim)
    spread = (weights * np.sort(samples, axis=0)).sum(axis=0) / (m * (m - 1))
    result: Floats = apart.mean(axis=0) - spread
    return result


@dataclass(frozen=True)
class Asked:
    """Test windows and what is told of them."""

    x: NDArray[np.float32]
    told: NDArray[np.bool_]
    mean: Floats
    std: Floats

    @classmethod
    def of(cls, var: Var, mask: str, n: int) -> "Asked":
        random = np.random.default_rng(7)
        x = var.windows(n, random)
        told = np.ones(x.shape, dtype=bool)
        if mask == "forecast":
            told[:, :, -AHEAD:] = False
        else:
            for row in told.reshape(n, -1):
                row[random.permutation(K * W)[: K * W // 2]] = False
        return cls(x, told, *var.posterior(x, told))

    def cond(self, times: int) -> dict[str, NDArray[np.float32]]:
        told = np.repeat(self.told, times, axis=0)
        return {
            "observed": np.where(told, np.repeat(self.x, times, axis=0), np.float32(0)),
            "told": told.astype(np.float32),
        }

    def climatology(self) -> float:
        """The CRPS ratio of samples that know nothing of the window."""
        drawn = np.random.default_rng(8).standard_normal((200, *self.x.shape))
        return self.judge(drawn)["crps"]

    def judge(self, samples: NDArray[Any]) -> dict[str, float]:
        """Of samples [m, n, K, W]. CRPS and coverage are expectations over the truths that what is told allows."""
        hidden = ~self.told
        drawn, mean, std = samples[:, hidden].astype(float), self.mean[hidden], self.std[hidden]
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0, method="weibull")  # unbiased for few samples
        variances = drawn.var(axis=0, ddof=1)
        off = (drawn.mean(axis=0) - mean) ** 2 - variances / len(drawn)
        return {
            "crps": float(expected_crps(drawn, mean, std).mean() / (std.mean() / np.sqrt(np.pi))),
            "cover90": float((ndtr((high - mean) / std) - ndtr((low - mean) / std)).mean()),
            "variance": float(variances.sum() / (std**2).sum()),
            "mean_off": float(np.sqrt(max(0.0, (off / std**2).mean()))),
        }


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the choices that an argument does not make."""

    model: CSDIConfig
    seconds: float
    lr: float
    batch: int
    vlb_weight: float
    seed: int
    target: str = "v"


def diffusion(recipe: Recipe, variance: VarianceName = "learned") -> DiffusionConfig:
    schedule = Cosine("cosine", LEVELS, 0.008, 0.999, False)
    return DiffusionConfig(
        "diffusion", schedule, recipe.target, variance, Simple("simple"), Uniform("uniform", True), recipe.vlb_weight
    )


class Training:
    """Steps for so many CPU seconds; the rate rises over a twentieth of them and falls as a cosine."""

    def __init__(self, recipe: Recipe, var: Var) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.var = recipe, var
        self.net = recipe.model.build(SPEC, True)
        self.ema = Ema(self.net, 0.995, 10.0)
        self.objective = diffusion(recipe).build(SPEC, None)
        self.optimiser = build_optimiser(OPTIMISER, self.net)
        self.random = np.random.default_rng(1000 + recipe.seed)
        self.step, self.seconds = 0, 0.0

    def advance(self, seconds: float) -> None:
        """Train until so many CPU seconds have gone into it."""
        recipe, self.net = self.recipe, self.net.train()
        while self.seconds < seconds:
            start = time.process_time()
            way = self.seconds / recipe.seconds
            rate = recipe.lr * min(1.0, way / 0.05 + 0.02) * 0.5 * (1 + np.cos(np.pi * min(1.0, way)))
            for group in self.optimiser.param_groups:
                group["lr"] = float(rate)
            self._update()
            self.seconds += time.process_time() - start

    def _update(self) -> None:
        x = self.var.windows(self.recipe.batch, self.random)
        arrays = {"x": x, "observed": x, "told": np.ones_like(x), "present": np.ones(x.shape, np.uint8)}
        drawn = {name: torch.from_numpy(a) for name, a in masked(MASKS, arrays, self.recipe.seed, self.step).items()}
        cond = {name: drawn[name] for name in ("observed", "told")}
        draw = self.objective.draw(Batch(drawn["x"], cond, drawn["present"].float()), self.recipe.seed, self.step)
        self.optimiser.zero_grad()
        self.objective.loss(self.net, draw).total.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.ema.update(self.net, self.ema.shares(self.step))
        self.step += 1

    def samples(self, asked: Asked, m: int, steps: int, variance: VarianceName = "learned") -> NDArray[np.float32]:
        """[m, n, K, W], by ancestral steps with the averaged weights."""
        parameterisation = diffusion(self.recipe).parameterisation()
        plan = samplers.Ancestral(steps, "trailing", "none", "ancestral").plan(parameterisation.schedule, variance)
        n, cpu = len(asked.x), torch.device("cpu")
        drawn = []
        for first in range(0, n, 2):
            part = Asked(*(array[first : first + 2] for array in (asked.x, asked.told, asked.mean, asked.std)))
            count = len(part.x) * m
            x = sample(
                self.ema.model, plan, parameterisation, SPEC, seeds=range(first * m, first * m + count),
                cond=part.cond(m), guidance=0.0, device=cpu, dtype=torch.float32,
            )  # fmt: skip
            drawn.append(x.reshape(-1, m, K, W))
        return np.concatenate(drawn).swapaxes(0, 1)


def line(name: str, found: dict[str, float]) -> str:
    return f"{name:28s} " + "  ".join(f"{key} {value:.3f}" for key, value in found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time-layer", choices=("attention", "s4d"), required=True)
    parser.add_argument("--seconds", type=float, default=360)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--steps", type=int, default=25, help="of the sampler")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--vlb-weight", type=float, default=0.02)
    parser.add_argument(
        "--looks", type=float, nargs="*", default=(20, 40, 60, 80, 100, 130, 160, 200, 240, 290, 340, 390, 440)
    )
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    keep_memory()
    var = Var.standard()
    asked = {mask: Asked.of(var, mask, args.windows) for mask in ("forecast", "random")}
    for mask, each in asked.items():
        std = each.std[~each.told]
        print(
            mask,
            f"posterior std {std.min():.2f} to {std.max():.2f}, median {np.median(std):.2f};",
            f"climatology {each.climatology():.2f}",
        )
    model = CSDIConfig("csdi", args.time_layer, args.channels, args.layers, args.heads, 8, 0.0)
    recipe = Recipe(model, args.seconds, args.lr, args.batch, args.vlb_weight, args.seed)
    training = Training(recipe, var)
    size = sum(weight.numel() for weight in training.net.parameters())
    print(f"{args.time_layer}: {size:,} parameters; {common.machine('torch', 'numpy')}", flush=True)
    reached = None
    for look in sorted({*(look for look in args.looks if look < args.seconds), args.seconds}):
        training.advance(look)
        start = time.process_time()
        if reached is not None:
            continue
        found = asked["forecast"].judge(training.samples(asked["forecast"], 8, 10))
        if found["crps"] <= BAR["forecast"]:
            reached = training.seconds
        spent = time.process_time() - start
        print(line(f"{training.seconds:6.0f} s, step {training.step}", found), f"  (look: {spent:.0f} s)", flush=True)
    print(f"forecast bar reached after {reached} CPU s")
    start = time.process_time()
    for mask, each in asked.items():
        found = each.judge(training.samples(each, args.samples, args.steps))
        print(line(f"{mask}, bar {BAR[mask]}", found), flush=True)
    print(f"sampling: {time.process_time() - start:.0f} CPU s; all: {time.process_time():.0f} CPU s")


if __name__ == "__main__":
    main()
