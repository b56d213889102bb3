"""What to try next, whatever the kind of data: by how a model was trained, on how much, and how it was judged."""

from collections.abc import Iterator

from ddpm_core.gate.rules import RuleResult
from pipelines.kinds.advice import Advice, Judged

_FEW = 1000  # examples, below which a network of the default size learns them by heart
_COPIES = "max_copy_excess"
_OF_THE_MEASUREMENT = ("min_samples", _COPIES, "max_golden_difference")
_DISTANCES = ("max_energy", "max_lost", "max_rough")  # 0 is best


def advice(judged: Judged) -> Iterator[Advice]:
    """The most likely remedy first."""
    copies = judged.failed(_COPIES)  # then the other remedies would make it worse
    near = not copies and any(_is_near(judged.results[key]) for key in _DISTANCES if key in judged.results)
    if near:
        yield from _against_distance(judged)
    yield from _of_the_evidence(judged)
    if judged.blocked("max_golden_difference"):
        yield Advice(
            "dvc repro --force export",
            "the bundle answers otherwise here than where it was exported: other versions or another machine",
        )
    if copies:
        yield from _against_copies(judged)
    elif not near and any(
        result.outcome == "fail" and key not in _OF_THE_MEASUREMENT for key, result in judged.results.items()
    ):
        yield from _against_distance(judged)


def _is_near(result: RuleResult) -> bool:
    """Undecided, and so near to its limit that a better model would decide it and more samples would not."""
    if result.value is None or result.limit is None:
        return False
    return result.outcome == "not enough evidence" and result.value > result.limit / 2


def _of_the_evidence(judged: Judged) -> Iterator[Advice]:
    unsure = [result for result in judged.results.values() if result.outcome == "not enough evidence"]
    if not unsure:
        return
    config = judged.params.evaluate
    if config.n == "test":
        yield Advice(
            f"split.test_fraction: above {judged.params.split.test_fraction:g}, or more data",
            "as many samples as unseen examples were judged, and they are too few to decide; where the source has its "
            "own test split, give it more data",
        )
    else:
        yield Advice(f"evaluate.n: above {config.n}, or test", "too few samples were judged to decide; no new training")


def _against_copies(judged: Judged) -> Iterator[Advice]:
    train = judged.params.train
    shown = train.steps * train.batch_size / max(1, judged.examples)
    seen = f"each of the {judged.examples:,} training examples was shown {shown:,.0f} times, and samples repeat them"
    yield Advice(f"train.steps: {train.steps:,} -> {max(1, train.steps // 2):,}", seen)
    yield Advice("more data, or train.augment", "what is never shown twice alike is hard to repeat")
    yield Advice("a smaller network (section model)", "it has less room to store examples")


def _against_distance(judged: Judged) -> Iterator[Advice]:
    train = judged.params.train
    longer = f"train.steps: {train.steps:,} -> {2 * train.steps:,}"
    if judged.still_falling is not None:
        fell = f"the loss still fell by {judged.still_falling:.1%} in the last quarter of the updates"
        yield Advice(longer, f"{fell}; costs about twice the time of training")
    elif judged.too_short:
        yield Advice(
            longer,
            "the training was too short to tell whether the loss still falls (out/curves.csv has too few rows); costs "
            "about twice the time of training",
        )
    if judged.examples < _FEW:
        yield Advice(
            "more data, train.augment, or train.init_from (weights of a model of similar data)",
            f"{judged.examples:,} examples are few to learn from",
        )
    if judged.still_falling is None and not judged.too_short:
        yield Advice(
            "a larger network (section model)",
            "the loss no longer falls by more than it scatters, so more updates alone may change little",
        )
        yield Advice(longer, "samples can improve after the loss has settled; costs about twice the time of training")
