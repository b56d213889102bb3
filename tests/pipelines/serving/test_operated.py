"""The real service inside the operator's middleware: what is told of a request is true."""

from fastapi.testclient import TestClient

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app, metrics_of
from pipelines.serving.ops.assemble import operated
from tests.support.operated import log_lines, settings
from tests.support.served import LIMITS, post


def test_log_and_metrics_tell_the_model_the_samples_and_their_cost(sampler: Sampler) -> None:
    app = create_app(sampler, LIMITS)
    metrics = metrics_of(app.state.models)
    with log_lines() as lines, TestClient(operated(app, settings(), metrics)) as client:
        assert post(client, n=3, steps=4, sampler="ddim", guidance=0.5).status_code == 200
        assert post(client, n=200, steps=50).status_code == 422
        text = client.get("/metrics").text
    good, costly = lines.requests()
    assert (good["model"], good["bundle"], good["count"]) == ("default", sampler.bundle.digest, 3)
    assert good["cost"] == 3 * 4 * 2
    assert good["queued"] >= 0
    assert (costly["outcome"], costly["cost"]) == ("too_costly", 200 * 50)
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert told['ddpm_samples_total{model="default"}'] == "3.0"
    assert told['ddpm_network_evaluations_total{model="default"}'] == "24.0"
    assert told["ddpm_step_duration_seconds_count"] == "4.0"
    assert told["ddpm_requests_running"] == "0.0"
    assert told["ddpm_ready"] == "1.0"
    (info,) = [name for name in told if name.startswith("ddpm_model_info")]
    assert f'bundle="{sampler.bundle.digest}"' in info
    assert 'kind="pictures"' in info
    assert 'provider="CPU' in info
