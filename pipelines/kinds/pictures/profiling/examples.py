"""Some prepared pictures to estimate the cost of a run with, before there is a project; they have labels in turn."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.pseudo_classes import with_pseudo_classes
from ddpm_core.spec import DataSpec
from pipelines.kinds.choice import EXAMPLES
from pipelines.kinds.pictures.profiling.profile import PictureProfile, read
from pipelines.kinds.pictures.rows.decode import decode, fit_pixels
from pipelines.kinds.pictures.rows.rules import Pixels
from pipelines.kinds.pictures.sources.torchvision_set import Torchvision
from pipelines.shards.archive import Arrays


def of_profile(seen: PictureProfile, params: Any) -> tuple[DataSpec, Arrays]:
    """Pictures that were looked at, made equal by the rules that were chosen."""
    rules = params.source.rules()
    key = getattr(params.source, seen.given.label_key)
    spec = rules.spec(() if key == seen.given.without_labels else tuple(seen.classes))
    x = np.stack([decode(read(found), rules) for found in seen.contents[:EXAMPLES]])
    if rules.clusters is not None:
        spec = with_pseudo_classes(spec, [1] * rules.clusters)
    return spec, _in_turn(x, spec)


def of_set(source: Torchvision, _params: Any) -> tuple[DataSpec, Arrays]:
    """The first pictures of a data set."""
    listing, rules = source.listing(Path()), source.rules()
    contents = [found.content for found in listing.found[:EXAMPLES]]
    levels = [np.frombuffer(each.data, np.uint8).reshape(each.shape) for each in contents if isinstance(each, Pixels)]
    spec = rules.spec(listing.classes)
    return spec, _in_turn(np.stack([fit_pixels(each, rules) for each in levels]), spec)


def _in_turn(x: NDArray[np.uint8], spec: DataSpec) -> Arrays:
    labels = np.arange(len(x), dtype=np.int64) % max(1, len(spec.classes))
    return {"x": x, **dict.fromkeys(spec.conditions, labels)}
