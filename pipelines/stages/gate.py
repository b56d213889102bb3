"""Stage gate: give the verdict; exit code 3 if the model does not pass."""

import logging
from typing import TYPE_CHECKING

from ddpm_core.errors import GateFailed
from ddpm_core.gate.config import GateConfig
from pipelines.gate.gate_file import write_verdict
from pipelines.gate.record import judge
from pipelines.paths import Paths

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Judge out/metrics.json by section gate; write out/gate.json, and a copy that outlives a failure."""
    config: GateConfig = params.gate
    judged, _ = judge(paths, config)
    kept = paths.logs / "gate.json"
    write_verdict(judged, config, paths, (kept, paths.gate))
    log.info("%s", judged.table())
    tracker.publish(paths, params, "gate")
    if not judged.passed:
        reasons = "\n  ".join(judged.reasons)
        raise GateFailed(
            f"the model does not pass the gate ({judged.outcome}):\n  {reasons}\nThe report shows it: "
            f"{paths.report / 'index.html'}. The verdict is kept in {kept}. Train on (section train), or change the "
            "rules (section gate) if they are not what you want."
        )
