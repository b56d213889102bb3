"""`ddpm tune-sampler`: how a bundle samples best within so many network evaluations."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, checked_params, project_paths, sentence
from pipelines.commands.options import add_bundle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm_core.metrics.metric import Metric
    from pipelines.evaluation.reference import Reference
    from pipelines.params import Params
    from pipelines.paths import Paths
    from pipelines.sampling.bundle_sampler import Sampler
    from pipelines.sampling.search import SamplingChoice
    from pipelines.shards.archive import Split
    from pipelines.shards.index import ShardIndex

log = logging.getLogger(__name__)

_APART = 1 << 62
"""Between the seeds of a search and those that judge."""
_ROUND = 1 << 40
"""Between the seeds of the search and those that its result is compared on."""
_SHOWN = 12


def add_to(verbs: Verbs) -> None:
    text = "find the sampler, levels and guidance that sample best within so many network evaluations"
    verb = verbs.add_parser("tune-sampler", help=text, description=sentence(text))
    add_bundle(verb)
    verb.add_argument("--evaluations", type=int, required=True, metavar="N", help="most calls of the network a sample")
    verb.add_argument("--n", type=int, default=500, help="samples of each candidate (default: 500)")
    verb.add_argument("--seconds", type=float, default=600.0, help="after which the search ends (default: 600)")
    verb.add_argument("--write", action="store_true", help="write what was found into section sample of params.yaml")
    verb.set_defaults(action=tune, when_stopped="; params.yaml is as it was")


def tune(args: argparse.Namespace) -> None:
    """Search, compare the result on new seeds with the start and the bundle's own way, print, write the values."""
    for option, value, least in (("--evaluations", args.evaluations, 1), ("--n", args.n, 20)):
        if value < least:
            raise ParamsError(f"{option}: must be at least {least}, got {value}")
    if not args.seconds > 0:
        raise ParamsError(f"--seconds: must be above 0, got {args.seconds}")
    paths = project_paths(args)
    params = checked_params(paths, computes=True)
    bench = Bench.of(params, paths, Path(args.bundle) if args.bundle else paths.bundle, args.n)
    from pipelines.sampling.search import Model, SamplingChoice, search

    bundle, own = bench.sampler.bundle, bench.sampler.defaults
    model = Model(bundle.schedule, bundle.variance, guides=bool(bundle.spec.null) and bundle.student is None)
    start = SamplingChoice(own.sampler, own.guidance if model.guides else replace(own.guidance, weight=0.0))
    try:
        begun, best = search(start, model, args.evaluations, bench.score, args.seconds)
    finally:  # of a search that is stopped too
        if bench.measured:
            sys.stdout.write(bench.table(model.cost))
    again = {choice: bench.measure(choice, again=True) for choice in dict.fromkeys((best, begun, start))}
    sys.stdout.write(beside(again, model.cost, (best, begun, start), params.evaluate.confidence))
    if best == begun:
        sys.stdout.write("Nothing was better than where the search began.\n")
    elif (again[best].value or 0.0) >= (again[begun].value or 0.0):
        sys.stdout.write("What was found is not better on new seeds; nothing is written.\n")
    elif args.write:
        write(paths.params, best)
        log.info("written: section sample of %s", paths.params)


@dataclass(frozen=True)
class Bench:
    """Measures choices: the same seeds and conditions for all, and real data that no verdict looks at."""

    params: "Params"
    sampler: "Sampler"
    index: "ShardIndex"
    reference: "Reference"
    parts: "tuple[Split, Split]"
    """The two halves of the training split; the second stands for unseen data."""
    config: Any
    measured: "dict[SamplingChoice, Metric]" = field(default_factory=dict)

    @classmethod
    def of(cls, params: "Params", paths: "Paths", folder: Path, n: int) -> "Bench":
        from ddpm_core.device import make_repeatable
        from pipelines.evaluation.reference import read_reference
        from pipelines.runtime.threads import in_use
        from pipelines.sampling.bundle_sampler import Sampler
        from pipelines.shards.archive import Split, read_index, read_split, rows_of
        from pipelines.stages.evaluate import refuse_other_data

        threads = in_use(params.runtime.threads)
        make_repeatable(threads)
        index, reference = read_index(paths.shards), read_reference(paths.reference)
        sampler = Sampler.open(folder, device=params.runtime.device, threads=threads)
        refuse_other_data(index, reference, sampler.bundle)
        student = sampler.bundle.student
        if student is not None and student.sampler is not None:
            raise ParamsError("--bundle: must be valid at any level, but this student has one sampler alone")
        train = read_split(paths.shards, "train")
        halves = [slice(place, None, 2) for place in (0, 1)]
        first, second = (Split(rows_of(train.arrays, half), train.keys[half]) for half in halves)
        config = replace(params.evaluate, n=n, seed=tuning_seeds(params.evaluate.seed, n)[0])
        return cls(params, sampler, index, reference, (first, second), config)

    def score(self, choice: "SamplingChoice") -> float:
        """The distance of a choice, on the seeds of the search."""
        found = self.measured[choice] = self.measure(choice)
        log.info("%s: %s", told(choice), _shown(found))
        return float("inf") if found.value is None else found.value

    def measure(self, choice: "SamplingChoice", *, again: bool = False) -> "Metric":
        """The distance of samples of a choice; `again`: on other seeds than the search's."""
        from ddpm_core.device import pick_device
        from pipelines.evaluation.evaluation import Evaluation
        from pipelines.kinds import kind_of
        from pipelines.sampling.parallel import sample_in_parallel

        kind, (train, unseen), runtime = kind_of(self.index.spec.kind), self.parts, self.params.runtime
        recipe = self.sampler.recipe(choice.sampler, None, choice.guidance)
        asked = kind.asked_of_test(unseen, self.sampler.bundle.spec, self.config)
        seeds = tuning_seeds(self.params.evaluate.seed, len(asked.rows), round=int(again))
        x = sample_in_parallel(
            self.sampler,
            recipe,
            seeds.tolist(),
            asked.cond,
            processes=runtime.sampling_processes,
            batch_size=self.config.batch_size,
        )
        return kind.closeness(
            Evaluation(
                self.sampler, recipe, x, asked.cond, asked.rows, seeds, train, unseen, self.index.spec, self.reference,
                self.config, pick_device(runtime.device), panels=False,
            )
        )  # fmt: skip

    def table(self, cost: Any) -> str:
        """The best choices, best first."""
        order = sorted(self.measured, key=lambda choice: self.measured[choice].value or 0.0)
        name = next(iter(self.measured.values())).name
        head = f"{name} of {self.config.n} samples, {len(order)} candidates, best first (interval of each alone)\n"
        rows = [f"{cost(choice):>4}  {_shown(self.measured[choice]):<28}  {told(choice)}" for choice in order[:_SHOWN]]
        return head + "\n".join(rows) + "\n"


def beside(
    measured: "Mapping[SamplingChoice, Metric]",
    cost: "Callable[[SamplingChoice], int]",
    choices: "tuple[SamplingChoice, SamplingChoice, SamplingChoice]",
    confidence: float,
) -> str:
    """Lines on new seeds: what was found, where the search began, the bundle's own way; what is the same once."""
    names: dict[SamplingChoice, str] = {}
    for choice, name in zip(choices, ("found", "where the search began", "the bundle's own way"), strict=True):
        names.setdefault(choice, name)
    lines = [
        f"{name}, {cost(choice)} evaluations: {_shown(measured[choice])}"
        + ("" if choice == choices[0] else _difference(measured[choices[0]], measured[choice], confidence))
        for choice, name in names.items()
    ]
    return "\n".join(["", "On new seeds:", *lines, ""])


def tuning_seeds(judging: int, n: int, round: int = 0) -> "NDArray[np.int64]":
    """Seeds that no evaluation with judging seeds from `judging` on has."""
    import numpy as np

    first = (judging ^ _APART) + round * _ROUND
    return np.arange(first, first + n, dtype=np.int64)


def told(choice: "SamplingChoice") -> str:
    """A choice on one line."""
    sampler, guidance = choice.sampler, choice.guidance
    spacing = sampler.spacing if isinstance(sampler.spacing, str) else list(sampler.spacing)
    return f"{sampler.kind} {sampler.steps} {spacing}, guidance {guidance.weight:g} {_ends(guidance.interval)}"


def write(file: Path, choice: "SamplingChoice") -> None:
    """Write a choice into section sample of params.yaml."""
    from ddpm_core.files import atomic_path
    from pipelines.params import load_params
    from pipelines.projects.params_text import with_mapping

    text = file.read_text(encoding="utf-8")
    for key, values in (("sampler", asdict(choice.sampler)), ("guidance", asdict(choice.guidance))):
        text = with_mapping(text, f"sample.{key}", values)
    with atomic_path(file) as made:
        made.write_text(text, encoding="utf-8")
        found = load_params(made).sample
        if (found.sampler, found.guidance) != (choice.sampler, choice.guidance):
            raise ParamsError(f"{file}: must come to say {told(choice)} in section sample; write it there by hand")


def _difference(after: "Metric", before: "Metric", confidence: float) -> str:
    from ddpm_core.metrics.intervals import around

    if after.replicates is None or before.replicates is None:
        return ""
    change = (after.value or 0.0) - (before.value or 0.0)
    ends = around(change, after.replicates.minus(before.replicates), confidence)
    return f"; found less this {change:.4g} ({ends.low:.4g} to {ends.high:.4g}, paired)"


def _shown(metric: "Metric") -> str:
    if metric.value is None:
        return "not measured"
    ends = "" if metric.interval is None else f" ({metric.interval.low:.4g} to {metric.interval.high:.4g})"
    return f"{metric.value:.4g}{ends}"


def _ends(interval: Sequence[float] | None) -> str:
    return "everywhere" if interval is None else f"from {interval[0]:g} to {interval[1]:g}"
