"""How often samples are classified as the class that they were asked for."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ddpm_core.metrics.coverage import class_shares
from ddpm_core.metrics.data import EvalData, Labels
from ddpm_core.metrics.intervals import Resampling, mean_replicates, resampled_within, wilson
from ddpm_core.metrics.metric import Metric, Rule


def accuracy(data: EvalData) -> Iterator[Metric]:
    """By the classifier, even a weak one, where there is one and labels were asked for."""
    metric = accuracy_metric(data.classes if data.conditional else 0)
    if data.classified is None:
        yield metric
    else:
        yield asked_accuracy(metric, data.asked, data.classified, data.resampling)
        worst = Metric("accuracy_class_min", "the same, in the class where it is lowest", "higher", by_class="accuracy")
        right = np.bincount(data.asked[data.asked == data.classified], minlength=data.classes)
        yield worst.worst(class_shares(right, np.bincount(data.asked, minlength=data.classes)))
    yield Metric(metric.floor, "unseen real images classified as their class", value=data.unseen_accuracy)


def attributes(data: EvalData) -> Iterator[Metric]:
    """The same of each attribute, of the samples that were asked for one."""
    for of in data.attributes:
        metric = attribute_metric(of.name, of.classes)
        told = of.asked >= 0
        if of.classified is None or not told.any() or of.unseen_accuracy is None:
            yield replace(metric, not_applicable="there is no classifier that could tell it")
            continue
        yield asked_accuracy(metric, of.asked[told], of.classified[told], data.resampling)
        yield Metric(metric.floor, f"unseen real images classified as their {of.name}", value=of.unseen_accuracy)
        yield Metric(f"asked_{of.name}", f"samples asked for a {of.name}", value=int(told.sum()))
        yield Metric(f"known_{of.name}", f"unseen real images whose {of.name} is known", value=of.unseen_known)


def attribute_metric(name: str, classes: int) -> Metric:
    words = f"{{value:.2%}} of the samples are classified as the {name} asked for, {{floor:.2%}} of unseen examples "
    return Metric(
        f"accuracy_asked_{name}", f"samples classified as the {name} asked for", "higher",
        floor=f"accuracy_heldout_{name}", champion="max_accuracy_loss",
        rule=Rule("loss", "max_accuracy_loss", f"asked {name}", f"{words}as theirs", guessing=1 / classes, of=name),
        not_applicable="" if classes >= 2 else f"there is but one {name}", share=True,
        short=f"asked {name}", contrast=(f"classified as their {name}", ""),
    )  # fmt: skip


def accuracy_metric(classes: int) -> Metric:
    """Of a model that takes labels of so many classes; no rule judges it where there is nothing to choose from."""
    words = "{value:.2%} of the samples are classified as the class asked for, {floor:.2%} of unseen examples as theirs"
    guessing = 1.0 / classes if classes else 0.0
    return Metric(
        "accuracy_asked", "samples classified as the class asked for", "higher", floor="accuracy_heldout",
        rule=Rule("loss", "max_accuracy_loss", "asked label", words, guessing=guessing), champion="max_accuracy_loss",
        not_applicable="" if classes >= 2 else "the model takes no label, or there is but one", short="asked label",
        share=True, tile=("classified as the class asked for", ".1%"), contrast=("classified as their class", ""),
    )  # fmt: skip


def asked_accuracy(metric: Metric, asked: Labels, classified: Labels, how: Resampling) -> Metric:
    """The share, its interval and what each weighting of the samples adds to it."""
    right = classified == asked
    replicates = mean_replicates(right.astype(np.float64), resampled_within(asked, how.rounds, how.seed))
    return metric.measured(float(right.mean()), wilson(int(right.sum()), len(right), how.confidence), replicates)
