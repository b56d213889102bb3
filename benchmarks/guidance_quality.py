"""Quality against the weight of guidance, through an exported bundle, as a table.

    python benchmarks/guidance_quality.py --project . [--weights 0 0.3 0.6]

Sampler, interval, labels and seeds are the bundle's and those of `ddpm evaluate`; the measures are its functions.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sampler_quality import Judge

from pipelines.sampling.bundle_sampler import Sampler

WEIGHTS = (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


def rows(project: Path, weights: Sequence[float], seed: int) -> Iterator[str]:
    sampler, judge = Sampler.open(project / "out" / "bundle", "cpu", threads=1), Judge(project, None, seed)
    yield "| weight | evaluations | to training / unseen digits | called as asked | diversity, mean / least |"
    yield "|---|---|---|---|---|"
    for weight in weights:
        recipe = sampler.recipe(guidance=replace(sampler.defaults.guidance, weight=weight))
        images = sampler.sample(recipe, range(seed, seed + judge.n), {"label": judge.labels})
        found, apart = judge.measures(images), judge.diversity(images)
        yield (
            f"| {weight:g} | {recipe.cost(1)} | {found['ratio_train']:.2f} / {found['ratio_test']:.2f} "
            f"| {found['accuracy_asked']:.1%} | {apart.mean():.2f} / {apart.min():.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(), help="with out/bundle, out/reference and data/shards")
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0, help="of pictures and labels")
    args = parser.parse_args()
    for row in rows(args.project, args.weights, args.seed):
        print(row, flush=True)


if __name__ == "__main__":
    main()
