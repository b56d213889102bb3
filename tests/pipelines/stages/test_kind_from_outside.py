"""A kind of data of somebody else's goes the whole way: from its source to a verdict, a page and an HTTP answer."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ddpm_core.bundle.export_config import ExportConfig
from ddpm_core.files import json_bytes
from ddpm_core.metrics.config import EvaluateConfig
from ddpm_core.models.mlp_config import MLPConfig
from pipelines import kinds
from pipelines.contract.config import ContractConfig
from pipelines.kinds.split import SplitConfig
from pipelines.params import load_params, section_types
from pipelines.partitions.config import PartitionConfig
from pipelines.paths import Paths
from pipelines.report.config import ReportConfig
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from pipelines.shards.archive import ShardConfig, read_split
from pipelines.stages import evaluate, export, gate, prepare, reference, report, shard, train, validate
from pipelines.tracking.tracker import NullTracker
from tests.pipelines.stages.own_kind import SUITE, NoKeys, Sines, Waves
from tests.support.drift import DRIFT
from tests.support.imports import ROOT
from tests.support.measured import GATE
from tests.support.small_training import Params, params


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a project after all stages."""
    root = tmp_path_factory.mktemp("waves")
    paths = Paths(root, root / ".ddpm")
    paths.suite("waves").parent.mkdir(parents=True)
    paths.suite("waves").write_bytes(json_bytes(SUITE))
    of = load_params(ROOT / "params.yaml")
    trained = params(
        model=MLPConfig("mlp", 32, 2, 0.0), steps=150, batch_size=64, lr=3e-3, warmup_steps=10, augment=NoKeys(),
        log_every=50, sample_every=0, checkpoint_every=150,
    )  # fmt: skip
    own = Params(
        **vars(trained),
        kind="waves",
        source=Sines("sines", "nowhere", 600),
        split=SplitConfig(0, 0.3),
        contract=ContractConfig(100.0, 0.2, 0.5, 3, DRIFT),
        partition=PartitionConfig(None),
        shard=ShardConfig(200, 50, 1000),
        reference=NoKeys(),
        export=ExportConfig(20, 1e-4, 4, 0.01, None, "last"),
        sample=_without_bound(of.sample),
        evaluate=EvaluateConfig("test", None, 0, 64, "onnxruntime", None, None, 2, 40, 0.95),
        gate=GATE,
        report=ReportConfig(None, None, None, None),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kinds.KINDS, "waves", Waves())
        patch.setattr("pipelines.report.parts.chart.png", lambda figure: b"a chart")
        for stage in (prepare, validate, shard, reference, train, export, evaluate, report, gate):
            stage.run(own, paths, NullTracker())
        yield paths


def _without_bound(sample: Any) -> Any:
    return replace(sample, sampler=replace(sample.sampler, bound="none"), guidance=replace(sample.guidance, weight=0.0))


def test_all_that_was_found_is_accepted_or_in_quarantine(finished: Paths) -> None:
    lines = [json.loads(line) for line in (finished.quarantine / "quarantine.jsonl").read_text().splitlines()]
    assert len(lines) == 60
    assert {line["reason"] for line in lines} == {"broken"}
    splits = [read_split(finished.shards, name) for name in ("train", "test")]
    assert sum(map(len, splits)) == 540
    assert splits[0].x.dtype == np.float32
    assert splits[0].cond == {}


def test_its_own_metric_is_judged_and_its_own_section_is_on_the_page(finished: Paths) -> None:
    verdict = json.loads(finished.gate.read_bytes())
    assert {rule["rule"]: rule["outcome"] for rule in verdict["rules"]}["power"] == "pass"
    assert verdict["outcome"] == "pass"
    assert "<h2>Waves</h2>" in (finished.report / "index.html").read_text()


def test_samples_are_waves(finished: Paths) -> None:
    sampler = Sampler.open(finished.bundle, "cpu")
    waves = sampler.sample(sampler.recipe(), range(100))[:, 0]
    power = np.abs(np.fft.rfft(waves, axis=1)) ** 2
    assert np.median(power[:, 1] / power.sum(axis=1)) > 0.8


def test_it_is_served_on_its_own_route(finished: Paths) -> None:
    app = create_app(Sampler.open(finished.bundle, "cpu"), Limits(10_000, 4, 1, 60.0, 10_000))
    with TestClient(app) as client:
        answer = client.post("/v1/waves", json={"n": 2, "seed": 5})
        assert answer.status_code == 200, answer.text
        assert np.array(answer.json()["waves"]).shape == (2, 8)
        assert answer.json()["seeds"] == [5, 6]
        assert client.post("/v1/images", json={"n": 1}).status_code == 404


def test_its_sections_are_those_of_params_yaml(finished: Paths) -> None:
    types: Mapping[str, Any] = section_types("waves")
    assert types["source"] is Sines
    assert types["evaluate"] is EvaluateConfig
