"""Where pictures come from: one file a source, each with `path` (what DVC watches), `rules`, `facts` and `listing`."""

from pipelines.kinds.pictures.sources.embedded_digits import EmbeddedDigits
from pipelines.kinds.pictures.sources.image_folder import ImageFolder
from pipelines.kinds.pictures.sources.torchvision_set import Torchvision

SourceConfig = EmbeddedDigits | ImageFolder | Torchvision

__all__ = ["EmbeddedDigits", "ImageFolder", "SourceConfig", "Torchvision"]
