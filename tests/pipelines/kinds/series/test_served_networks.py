"""The networks of series, untrained, from their export to what the service answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from ddpm_core.bundle.export import export_onnx
from ddpm_core.models.base import NetworkConfig
from ddpm_core.models.csdi import CSDIConfig
from ddpm_core.models.timegrad_config import TimeGradConfig
from ddpm_core.procedure import graphs_of, procedure_of
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from tests.support.series_bundle import HORIZON, series_bundle, series_spec

START = "2026-01-01T00:00"
pytestmark = pytest.mark.slow


def client_of(folder: Path, config: NetworkConfig, task: str) -> Any:
    spec = series_spec(task, classes=("nsw", "vic"))
    torch.manual_seed(0)
    net = config.build(spec, True)
    with torch.no_grad():
        for weights in net.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    procedure = procedure_of(net)
    graphs = {
        file: export_onnx(net, spec, opset=20, graph=graph) for file, graph in graphs_of(spec, procedure, True).items()
    }
    series_bundle(folder / "b", spec, graphs=graphs, procedure=procedure, variance="learned")
    limits = Limits(cost=None, waiting=2, at_once=1, seconds=60.0, body_bytes=None)
    return TestClient(create_app(Sampler.open(folder / "b", "cpu"), limits))


def test_timegrad_forecasts(tmp_path: Path) -> None:
    history: list[list[float | None]] = [[100.0 + row, 10.0] for row in range(5)]
    history[2][0] = None
    body = {"history": history, "start": START, "label": "vic", "n": 3, "sampler": "ancestral", "steps": 5}
    with client_of(tmp_path, TimeGradConfig("timegrad", "gru", 1, 8, (1, 2), "mlp", 8, 1, 0.0), "forecast") as client:
        first, again = (client.post("/v1/forecasts", json=body) for _ in range(2))
        shorter = client.post("/v1/forecasts", json={**body, "horizon": 2}).json()
    assert first.status_code == 200, first.text
    assert first.content == again.content
    found = np.array(first.json()["samples"])
    assert found.shape == (3, HORIZON, 2)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, :2], shorter["samples"])


@pytest.mark.parametrize("time_layer", ["attention", "s4d"])
def test_csdi_fills_and_forecasts(time_layer: Any, tmp_path: Path) -> None:
    table: list[list[float | None]] = [[100.0 + row, 10.0] for row in range(11)]
    table[2][0] = table[9][1] = None
    with client_of(tmp_path, CSDIConfig("csdi", time_layer, 8, 1, 2, 4, 0.0), "impute") as client:
        body = {"start": START, "label": "nsw", "n": 2}
        filled = client.post("/v1/imputations", json={"table": table, **body})
        assert filled.status_code == 200, filled.text
        for sample in filled.json()["samples"]:
            wrong = [
                (a, b) for told, found in zip(table, sample, strict=True) for a, b in zip(told, found, strict=True)
            ]
            assert all(a is None or a == b for a, b in wrong)
        ahead = client.post("/v1/forecasts", json={"history": table, "horizon": 3, **body})
        assert np.isfinite(ahead.json()["samples"]).all()
