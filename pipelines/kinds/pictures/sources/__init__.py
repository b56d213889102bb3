"""Where pictures come from: one file a source, each with `path` (what DVC watches), `rules`, `facts` and `listing`."""

from pipelines.kinds.pictures.sources.embedded_digits import EmbeddedDigits
from pipelines.kinds.pictures.sources.hugging_face import HuggingFace
from pipelines.kinds.pictures.sources.image_folder import ImageFolder
from pipelines.kinds.pictures.sources.picture_table import PictureTable
from pipelines.kinds.pictures.sources.remote import Remote
from pipelines.kinds.pictures.sources.several import Several
from pipelines.kinds.pictures.sources.torchvision_set import Torchvision
from pipelines.kinds.pictures.sources.webdataset_shards import WebDataset

SourceConfig = EmbeddedDigits | ImageFolder | Torchvision | PictureTable | HuggingFace | WebDataset | Remote | Several

__all__ = [
    "EmbeddedDigits",
    "HuggingFace",
    "ImageFolder",
    "PictureTable",
    "Remote",
    "Several",
    "SourceConfig",
    "Torchvision",
    "WebDataset",
]
