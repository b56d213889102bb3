"""What stage reference makes for points: the controls, whose points are a file each, and a floor."""

from typing import Any

from ddpm_core.files import npz_bytes
from ddpm_core.metrics.metric import rounded
from ddpm_core.metrics.sliced_wasserstein import sliced_wasserstein, unit_directions
from ddpm_core.spec import labels_in
from pipelines.evaluation.reference import RealData
from pipelines.kinds.points.reference.config import ReferenceConfig
from pipelines.kinds.points.reference.controls import controls

_DIRECTIONS, _SEED = 64, 0


def build(real: RealData) -> tuple[dict[str, Any], dict[str, bytes]]:
    config: ReferenceConfig = real.config
    train, test = (real.spec.encode(split.x) for split in (real.train, real.test))
    n = min(config.control_points, len(train))
    made = controls(train, labels_in(real.spec, real.train.cond, len(train)), n, _SEED)
    bad = {control.name: control.points for control in made}
    apart = sliced_wasserstein(test, train, unit_directions(_DIRECTIONS, train.shape[1], _SEED))
    return {"floors": rounded({"sliced_wasserstein_of_both_splits": apart})}, {"controls.npz": npz_bytes(bad)}
