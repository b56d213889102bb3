"""A data set that torchvision knows: nothing has to be found out; the preset says it all."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import DataError
from pipelines.kinds.choice import Chosen, Setting, gpu_words, of_preset, source_text, words_of
from pipelines.kinds.pictures.profiling.examples import of_set
from pipelines.kinds.pictures.sources.torchvision_set import Torchvision

if TYPE_CHECKING:
    from pipelines.projects.own_presets import OwnPreset

_FRACTION = 0.2  # held out, where the split is by digest
_SECONDS = 1e-3  # to prepare a picture that is decoded already


def choose(preset: "OwnPreset", root: Path, path: str) -> Chosen:
    """DataError where the files are not there."""
    if preset.set is None or preset.size is None:
        raise ValueError(f"preset {preset.name} names no set")
    split = preset.valued("source.split", "digest")
    most = preset.valued("source.pictures_per_class", None)
    source = Torchvision("torchvision", str(root), preset.set, False, split, preset.size, most)
    if not root.is_dir():
        raise DataError(f"--data: {root} must be torchvision's root folder of {preset.set}")
    found = source.listing(Path()).found
    test = sum(each.split == "test" for each in found) if split == "official" else round(_FRACTION * len(found))
    choices = [
        Setting("source.path", path),
        Setting("source.name", preset.set),
        Setting("source.resolution", preset.size),
        Setting("split.test_fraction", _FRACTION),
        *of_preset(preset, preset.values),
    ]
    return Chosen(
        about=preset.about,
        template="digits",
        source=source_text(__file__, "torchvision"),
        found=(f"{len(found):,} pictures of {preset.set} in {root}", *words_of(preset)),
        warnings=gpu_words(preset),
        choices=tuple(choices),
        train_count=len(found) - test,
        test_count=test,
        prepare_seconds=_SECONDS * len(found),
        examples=partial(of_set, source),
    )
