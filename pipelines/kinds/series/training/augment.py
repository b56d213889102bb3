"""What is told of a window in training: all of the history to forecast, and to impute what a mask leaves."""

from ddpm_core.errors import ParamsError
from ddpm_core.spec import DataSpec
from pipelines.kinds.kind import Augment
from pipelines.kinds.series.training import AugmentConfig
from pipelines.kinds.series.training.masks import HELD_OUT, MaskConfig, masked
from pipelines.shards.archive import Arrays, rows_of


def augmenter(config: AugmentConfig, seed: int, spec: DataSpec) -> Augment:
    masks = _masks(config, spec)
    if masks is None:
        return lambda arrays, _step, rows: rows_of(arrays, rows)
    return lambda arrays, step, rows: masked(masks, arrays, seed, step, rows)


def unaugmented(arrays: Arrays, config: AugmentConfig, seed: int, spec: DataSpec) -> Arrays:
    """Held-out windows: to impute, with masks that stay the same."""
    masks = _masks(config, spec)
    return arrays if masks is None else masked(masks, arrays, seed, HELD_OUT)


def _masks(config: AugmentConfig, spec: DataSpec) -> MaskConfig | None:
    """The masks, which windows to impute need and those to forecast do not have."""
    task = spec.about["task"]
    if (config.masks is None) != (task == "forecast"):
        wanted = "given where windows are to impute" if config.masks is None else "null where windows are to forecast"
        raise ParamsError(f"train.augment.masks: must be {wanted} (source.window.kind: {task}), got {config.masks}")
    if config.masks is not None:
        config.masks.check(spec)
    return config.masks
