"""Pictures served: `/v1/images`, `ddpm sample`, `ddpm edit` and the registered model."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.rows.decode import encode_png, in_file
from pipelines.kinds.pictures.serving.edited_files import kept, picture
from pipelines.kinds.pictures.serving.outputs import Pictures
from pipelines.kinds.pictures.serving.request import ImageRequest
from pipelines.kinds.pictures.serving.web_files import read, write
from pipelines.serving.base.labels import attribute_column
from pipelines.serving.base.request import Request
from pipelines.serving.base.serving import Editing, Folder, Samples, Serving, WebFiles


def _files(samples: Samples) -> Iterator[tuple[str, bytes]]:
    return Pictures.of(samples).files()


class ServingPictures(Serving):
    """Pictures as PNG, as a zip of PNGs, or as arrays."""

    media: ClassVar = {"png": "image/png", "npz": "application/octet-stream", "zip": "application/zip"}
    default_out = "grid.png"
    columns: ClassVar = {"png_base64": "string"}
    folder = Folder(_files)
    editing = Editing(picture, kept)
    web_files = WebFiles(write, read)

    def routes(self, spec: DataSpec) -> Mapping[str, type[Request]]:
        return {"/v1/images": ImageRequest}

    def encode(self, samples: Samples, format: str) -> bytes:
        pictures = Pictures.of(samples)
        return {"png": pictures.png, "zip": pictures.zip, "npz": pictures.npz}[format]()

    def record(self, datum: NDArray[Any]) -> dict[str, Any]:
        return {"png_base64": base64.b64encode(encode_png(in_file(datum))).decode()}

    def records(self, samples: Samples) -> list[dict[str, Any]]:
        """With a column for each attribute that was told, -1 where this sample was told none."""
        told = Pictures.of(samples).told
        return [
            {**record, **{attribute_column(name): int(values[i]) for name, values in told.items()}}
            for i, record in enumerate(super().records(samples))
        ]
