"""How often the intervals of ddpm_core.metrics cover the truth, in simulated trials with a known answer.

    python benchmarks/interval_coverage.py [--trials 500] [--resamples 200]

Fréchet distance: samples of a distribution of 64 features, whose variances fall as 1 / k, against the Gaussian that it
differs from by means and variances; the truth is the closed form. `shift` 0 is an equal distribution. Two kinds of
samples: Gaussian, and with exponential tails (the distance looks at moments alone, so the truth is the same). `at this
n` is the mean distance of as many samples, `difference` that of two draws of one model: 0. Samples that are asked for
labels come from ten classes far apart, in uneven shares that every draw has.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ddpm_core.metrics.frechet import Gaussian, distance, gaussian_of
from ddpm_core.metrics.intervals import (
    Interval,
    Replicates,
    around,
    clopper_pearson,
    frechet_replicates,
    mean_replicates,
    quantile,
    reflected,
    resampled,
    resampled_within,
    wilson,
)
from ddpm_core.metrics.kernel import kernel_distance

CONFIDENCE, DIMS = 0.95, 64
PERCENTILES = 50  # trials of the percentile bootstrap, which is but shown
SPECTRUM = 1.0 / np.arange(1, DIMS + 1)
REFERENCE = Gaussian(10**9, np.zeros(DIMS), np.diag(SPECTRUM))


@dataclass(frozen=True)
class World:
    """A distribution of features whose distance from the reference is known."""

    n: int
    shift: float
    tails: bool

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(np.sqrt(SPECTRUM / DIMS) * self.shift)

    @property
    def scale(self) -> np.ndarray:
        return np.asarray(SPECTRUM * (1.0 + 0.5 * self.shift / np.sqrt(DIMS) * np.cos(np.arange(DIMS))))

    @property
    def truth(self) -> float:
        return distance(Gaussian(10**9, self.mean, np.diag(self.scale)), REFERENCE)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        shape = (self.n, DIMS)
        unit = rng.standard_exponential(shape) - 1.0 if self.tails else rng.standard_normal(shape)
        return np.asarray(unit * np.sqrt(self.scale) + self.mean)


def frechet(trials: int, rounds: int) -> Iterator[str]:
    yield "| n | samples | true distance | percentile bootstrap | reflected | at this n | difference of two models |"
    yield "|---|---|---|---|---|---|---|"
    for n, shift, tails in ((300, 1.0, False), (1000, 0.0, False), (1000, 0.5, False), (1000, 1.0, False),
                            (1000, 0.5, True), (1000, 1.0, True)):  # fmt: skip
        world, rng = World(n, shift, tails), np.random.default_rng([n, int(10 * shift), tails])
        samples = [world.draw(rng) for _ in range(trials)]
        found = [_trial(rows, rounds, number) for number, rows in enumerate(samples)]
        expected = float(np.mean([value for value, _ in found]))
        ends = [(reflected(*each, CONFIDENCE), around(*each, CONFIDENCE)) for each in found]
        shares = (
            _covered(
                [_percentile(rows, rounds, number) for number, rows in enumerate(samples[:PERCENTILES])], world.truth
            ),
            _covered([interval for interval, _ in ends], world.truth),
            _covered([interval for _, interval in ends], expected),
            _covered([_difference(*two) for two in zip(found[::2], found[1::2], strict=True)], 0.0),
        )
        kind = "exponential" if tails else "normal"
        yield f"| {n} | {kind} | {world.truth:.4f} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def _trial(rows: np.ndarray, rounds: int, seed: int) -> tuple[float, Replicates]:
    value = distance(gaussian_of(rows), REFERENCE)
    return value, frechet_replicates(rows, REFERENCE, resampled(len(rows), rounds, seed))


def labelled(trials: int, rounds: int) -> Iterator[str]:
    yield "| n | shift | resampling | at this n | difference of two models | width, x what it must be |"
    yield "|---|---|---|---|---|---|"
    for n, shift in ((300, 0.5), (1000, 0.0), (1000, 0.5)):
        rng = np.random.default_rng([n, int(10 * shift), 10])
        means, shares = 3.0 * rng.standard_normal((10, DIMS)) * np.sqrt(SPECTRUM), rng.dirichlet(np.full(10, 20.0))
        labels = np.repeat(np.arange(10), np.diff(np.round(n * np.append(0.0, shares.cumsum()))).astype(int))
        within = np.asarray(means[labels] - means.mean(axis=0))
        world = World(n, shift, False)
        reference = Gaussian(10**9, np.zeros(DIMS), np.diag(SPECTRUM) + np.cov(means, rowvar=False, bias=True))
        samples = [world.draw(rng) + within for _ in range(trials)]
        values = [distance(gaussian_of(rows), reference) for rows in samples]
        must = 2 * quantile(CONFIDENCE) * float(np.std(values))
        for kind, kept in (("within labels", labels), ("of all", np.full(n, -1))):
            found = [
                (value, frechet_replicates(rows, reference, resampled_within(kept, rounds, number)))
                for number, (value, rows) in enumerate(zip(values, samples, strict=True))
            ]
            ends = [around(*each, CONFIDENCE) for each in found]
            differences = [_difference(*two) for two in zip(found[::2], found[1::2], strict=True)]
            here, two = _covered(ends, float(np.mean(values))), _covered(differences, 0.0)
            width = float(np.mean([interval.high - interval.low for interval in ends])) / must
            yield f"| {n} | {shift:g} | {kind} | {here:.1%} | {two:.1%} | {width:.2f} |"


def _percentile(rows: np.ndarray, rounds: int, seed: int) -> Interval:
    """What is not used, for comparison: of the distances of samples drawn from the samples, with replacement."""
    rng, n = np.random.default_rng(seed), len(rows)
    drawn = [distance(gaussian_of(rows[rng.integers(n, size=n)]), REFERENCE) for _ in range(rounds)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(high))


def _difference(a: tuple[float, Replicates], b: tuple[float, Replicates]) -> Interval:
    """As a challenger is held against a champion: here of other samples, so nothing but chance is between them."""
    return around(a[0] - b[0], a[1].minus(b[1]), CONFIDENCE)


def _covered(intervals: Sequence[Interval], truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def others(trials: int) -> Iterator[str]:
    yield "| interval | of | covers |"
    yield "|---|---|---|"
    for shift in (0.0, 0.3):
        rng = np.random.default_rng(int(10 * shift))
        share = _share(trials, partial(_kernel, rng, shift), _kernel_truth(shift))
        yield f"| jackknife | kernel distance, 300 against 300, 4 features, mean shifted by {shift:g} | {share:.1%} |"
    rng = np.random.default_rng(5)
    for p in (0.5, 0.986):
        share = _share(trials, partial(_wilson, rng, p), p)
        yield f"| Wilson | a share of {p:.1%} of 1,027 | {share:.1%} |"
    share = _share(trials, lambda: clopper_pearson(int(rng.binomial(1027, 0.003)), 1027, CONFIDENCE), 0.003)
    yield f"| Clopper and Pearson | a share of 0.3% of 1,027 | {share:.1%} |"
    values = np.random.default_rng(6)
    share = _share(trials, lambda: _mean(values), 0.5)
    yield f"| halves | the mean of 500 values | {share:.1%} |"


def _share(trials: int, draw: Callable[[], Interval], truth: float) -> float:
    return _covered([draw() for _ in range(trials)], truth)


def _wilson(rng: np.random.Generator, p: float) -> Interval:
    return wilson(int(rng.binomial(1027, p)), 1027, CONFIDENCE)


def _kernel(rng: np.random.Generator, shift: float) -> Interval:
    return kernel_distance(rng.standard_normal((300, 4)), rng.standard_normal((300, 4)) + shift).interval(CONFIDENCE)


def _kernel_truth(shift: float) -> float:
    """By moments: E (x y / d + 1)^3 of independent Gaussians x, y of unit variance with the means a and b."""

    def expected(a: np.ndarray, b: np.ndarray) -> float:
        d = len(a)
        dot, aa, bb = a @ b, a @ a, b @ b
        second = dot**2 + aa + bb + d
        third = dot**3 + 3 * dot * (aa + bb + d) + 6 * dot
        return float(third / d**3 + 3 * second / d**2 + 3 * dot / d + 1)

    zero, moved = np.zeros(4), np.full(4, shift)
    return expected(zero, zero) + expected(moved, moved) - 2 * expected(zero, moved)


def _mean(rng: np.random.Generator) -> Interval:
    values = rng.random(500)
    return around(float(values.mean()), mean_replicates(values, resampled(500, 200, 0)), CONFIDENCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=200)
    args = parser.parse_args()
    for line in frechet(args.trials, args.resamples):
        print(line, flush=True)
    for rows in (labelled(args.trials, args.resamples), others(args.trials)):
        print()
        for line in rows:
            print(line, flush=True)
    print(f"\n{args.trials} trials a row, {args.resamples} weightings a trial, {time.process_time():.0f} CPU s")


if __name__ == "__main__":
    main()
