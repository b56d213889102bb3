"""What to try where the gate's rules about pictures block, and keys of params.yaml that leave labels unused."""

import csv
from collections.abc import Iterator
from typing import Any

from pipelines.kinds.advice import Advice, Judged


def advice(judged: Judged) -> Iterator[Advice]:
    if judged.blocked("max_energy", "max_lost", "max_distance_ratio", "max_rough"):
        yield from _more_steps(judged)
    if judged.failed("max_rough"):
        yield from _against_grain(judged.params.model)
    if judged.failed("max_accuracy_loss"):
        yield from _for_the_label(judged.params)
    if judged.failed("max_broken_excess"):
        yield Advice(
            f"train.lr: {judged.params.train.lr:g} -> {judged.params.train.lr / 2:g}",
            "samples without content or without variety come from a training that diverged; the loss curve shows it",
        )


def _more_steps(judged: Judged) -> Iterator[Advice]:
    """The fewest steps at which every judge found the samples nearer than at the bundle's own number, if there are."""
    file = judged.samples / "by_steps.csv"
    if not file.is_file():
        return
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    own = {row["judge"]: row for row in rows if row["own"] == "1"}
    for steps in sorted({int(row["steps"]) for row in rows if row["own"] != "1"}):
        its = {row["judge"]: row for row in rows if int(row["steps"]) == steps}
        if own and all(float(its[name]["high"]) < float(row["low"]) for name, row in own.items() if name in its):
            was = int(next(iter(own.values()))["steps"])
            found = ", ".join(f"{float(row['energy']):.3g} in {name}" for name, row in its.items())
            yield Advice(
                f"sample.sampler.steps: {was} -> {steps}",
                f"measured with this very model: e = {found}, clearly nearer than at {was} steps; no new training",
            )
            return


def _against_grain(model: Any) -> Iterator[Advice]:
    if getattr(model, "patch", 1) > 1 and getattr(model, "refine", None) in (0, "auto"):
        yield Advice(
            f"model.refine: {model.refine} -> 16",
            f"patches of {model.patch} pixels leave a mesh on pictures with texture; a branch at full size removes it",
        )
    else:
        yield Advice("sample.sampler: more steps, or another kind", "too few steps leave noise, or smooth it away")


def _for_the_label(params: Any) -> Iterator[Advice]:
    weight = params.sample.guidance.weight
    if not params.train.label_dropout:
        yield Advice("train.label_dropout: 0 -> 0.1", "guidance towards the label needs a network that knows both")
    else:
        yield Advice(
            f"sample.guidance.weight: {weight:g} -> {weight + 0.5:g}",
            "samples follow their label more closely, and vary less; no new training",
        )


def cautions(params: Any) -> Iterator[str]:
    """Of pictures with labels: that samples are not guided towards them, or that no rule looks whether they follow."""
    source = params.source
    labelled = getattr(source, "label_column", None) or getattr(source, "labels", "none") != "none"
    if not labelled or params.train.conditioning == "none":
        return
    if params.gate.max_accuracy_loss is None:
        yield (
            "gate.max_accuracy_loss is null, so no rule judges whether samples are of the class that was asked for, "
            "though section source gives labels; 0.05 is a limit for a few hundred unseen pictures"
        )
    is_guided = params.sample.guidance.weight or params.diffusion.kind == "distillation"  # which learns it
    if not is_guided and params.diffusion.levels > 1:
        yield (
            "sample.guidance.weight is 0, so samples follow their label less closely than they could, though section "
            "source gives labels; 0.6 is a beginning"
        )
