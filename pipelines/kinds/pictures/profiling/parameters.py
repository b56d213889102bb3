"""The parameters that fit some pictures, by what they are."""

from ddpm_core.errors import DataError
from pipelines.kinds.choice import Chosen, ProfileRequest
from pipelines.kinds.pictures.profiling import choose_set
from pipelines.kinds.pictures.profiling.choose import choose
from pipelines.kinds.pictures.profiling.profile import profile_if_pictures


def parameters_for(request: ProfileRequest) -> Chosen | None:
    """Of a data set that torchvision knows, or of pictures of one's own; DataError where a preset finds no pictures."""
    preset = request.preset
    if preset is not None and preset.set is not None:
        return choose_set.choose(preset, request.data.resolve(), request.path(request.data))
    seen = profile_if_pictures(request.data)
    if seen is not None:
        return choose(seen, request.path(seen.place), request.device(), request.preset_named, preset)
    if preset is not None:
        raise DataError(f"--data: {request.data} must hold pictures for the preset {preset.name}, but there are none")
    return None
