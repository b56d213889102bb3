"""Pictures in the files that OpenAI's image routes exchange: written as PNG, WebP or JPEG, read with transparency.

Only a picture of the model's own size is read: one of another size is refused by its head, before it is decoded.
"""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.rows.decode import in_file, premultiplied
from pipelines.kinds.pictures.serving.outputs import Pictures
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.base.serving import Samples

_FORMATS = ("PNG", "WEBP", "JPEG")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # of 8 bits or fewer; Pillow would cut others off in silence


def write(samples: Samples, i: int, format: str, quality: int) -> bytes:
    """Sample i. A PNG is that of `POST /v1/images`; a WebP of the quality 100 has the same pixels."""
    if format == "png":
        return Pictures.of(samples).one(i)
    pixels = in_file(samples.data[i])
    if format == "jpeg" and pixels.shape[0] == 4:
        raise InvalidRequest.of("output_format", "must be png or webp, for the model's pictures have transparency")
    flat = np.ascontiguousarray(pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0))
    stream = io.BytesIO()
    if format == "webp":
        Image.fromarray(flat).save(stream, "WEBP", lossless=quality == 100, quality=quality, exact=True)
    else:
        Image.fromarray(flat).save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def read(picture: bytes, mask: bytes | None, spec: DataSpec) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """The pixels [C, H, W], and where they are kept [H, W]: where the mask is not fully transparent.

    Without a mask the transparent part of the picture itself is filled; None where it has none. InvalidRequest says
    which of `image` and `mask` cannot be used. Of a model with transparency the picture's is a part of the picture.
    """
    rgba = _rgba(picture, "image", spec)
    if spec.channels == 4:
        return premultiplied(rgba.transpose(2, 0, 1)), _where_kept(mask, spec)
    alpha = rgba[:, :, 3]
    asked = _where_kept(mask, spec)
    keep = alpha > 0 if asked is None else asked
    if (alpha[keep] < 255).any():
        raise InvalidRequest.of("image", "must be opaque where it is kept; remove its half-transparent pixels")
    return _channels(rgba, keep, spec), None if keep.all() else keep


def _where_kept(mask: bytes | None, spec: DataSpec) -> NDArray[np.bool_] | None:
    """Where a mask is not fully transparent; it is so somewhere."""
    if mask is None:
        return None
    keep: NDArray[np.bool_] = _rgba(mask, "mask", spec)[:, :, 3] > 0
    if keep.all():
        raise InvalidRequest.of("mask", "must be transparent where the picture is to be filled, and it is nowhere")
    return keep


def _channels(rgba: NDArray[np.uint8], keep: NDArray[np.bool_], spec: DataSpec) -> NDArray[np.uint8]:
    """The pixels [C, H, W] as the model has them; zeros where they are filled anyway."""
    rgb = np.where(keep, rgba[:, :, :3].transpose(2, 0, 1), 0).astype(np.uint8)
    if spec.channels == 1 and (rgb != rgb[:1]).any():
        raise InvalidRequest.of("image", "must be grey, as the model's pictures are, and it has colours")
    if rgb.max(initial=0) > spec.top:
        raise InvalidRequest.of("image", f"must have levels from 0 to {spec.top}, as the model's pictures have")
    return rgb[: spec.channels]


def _rgba(data: bytes, field: str, spec: DataSpec) -> NDArray[np.uint8]:
    """Pixels [H, W, 4] of a picture of the model's size."""
    height, width = spec.shape[-2:]
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            warnings.simplefilter("ignore")
            if image.size != (width, height):
                raise InvalidRequest.of(field, f"must be of the model's size, {width}x{height}; resize it")
            if image.mode not in _MODES:
                raise InvalidRequest.of(field, "must have 8 bits a channel, grey or RGB, with transparency or without")
            return np.asarray(image.convert("RGBA"))
    except InvalidRequest:
        raise
    except Exception as error:  # the decoders raise whatever damaged bytes lead them to
        raise InvalidRequest.of(field, f"must be a picture that can be read: {', '.join(_FORMATS)}") from error
