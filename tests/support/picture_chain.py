"""A tiny project of pictures through every stage: from a source to a verdict, a report and a bundle."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.errors import GateFailed
from pipelines.kinds.split import PictureSplit
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.shards.archive import ShardConfig
from pipelines.stages import evaluate, export, gate, prepare, reference, report, shard, train, validate
from pipelines.tracking.tracker import NullTracker
from tests.support.imports import ROOT
from tests.support.measured import EVALUATE, GATE, REFERENCE, REPORT
from tests.support.pictures import CONTRACT, SUITE
from tests.support.small_training import Params, params


def chain(root: Path, source: Any, **training: Any) -> Paths:
    """The folder after all stages. The gate may say what it likes: a network of a few steps is no good one."""
    paths = Paths(root, root / ".ddpm")
    (root / "pipelines").mkdir()  # or the suite would be the installed one
    suite = paths.suite("pictures")
    suite.parent.mkdir(parents=True)
    suite.write_bytes(SUITE.read_bytes())
    trained = params(**{"steps": 12, "checkpoint_every": 12, "sample_every": 12, "label_dropout": 0.1, **training})
    of = load_params(ROOT / "params.yaml")
    panels = replace(EVALUATE.panels, steps=(2,), images=12, trajectories=1)
    own = Params(
        **vars(trained),
        kind="pictures",
        source=source,
        split=PictureSplit(0, 0.4, "together"),
        partition=of.partition,
        contract=CONTRACT,
        shard=ShardConfig(200, 50, 1000),
        reference=replace(REFERENCE, classifier=replace(REFERENCE.classifier, steps=120, min_accuracy=0.5)),
        export=ExportConfig(20, 1e-4, 2, 1.0, None, "last"),
        sample=replace(of.sample, sampler=replace(of.sample.sampler, steps=4)),
        evaluate=replace(EVALUATE, panels=panels, bits_images=4, bits_levels=2),
        gate=GATE,
        report=REPORT,
    )
    with ExitStack() as patches:
        patches.enter_context(mock.patch("pipelines.report.parts.chart.png", return_value=b"a chart"))
        for stage in (prepare, validate, shard, reference, train, export, evaluate, report):
            stage.run(own, paths, NullTracker())
        with suppress(GateFailed):  # the verdict is written before
            gate.run(own, paths, NullTracker())
    return paths
