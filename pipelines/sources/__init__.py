"""Where pictures come from: one file a source, each with `path` (what DVC watches), `rules`, `facts` and `listing`."""

from pipelines.sources.embedded_digits import EmbeddedDigits
from pipelines.sources.image_folder import ImageFolder
from pipelines.sources.torchvision_set import Torchvision

SourceConfig = EmbeddedDigits | ImageFolder | Torchvision

__all__ = ["EmbeddedDigits", "ImageFolder", "SourceConfig", "Torchvision"]
