"""Pictures from bytes and to bytes, by Pillow: decoding under stated rules, PNG, grids.

What each kind of picture becomes (docs/data.md tells it to users):

    turned by EXIF        upright                      palette, 1 bit     its colours
    transparent           laid on `background`, or     animated           its first frame
                          kept where `rgba` is asked
    16 bits               scaled to 8, 65535 is white  CMYK, YCbCr        RGB by Pillow's formula, profiles ignored
    float, 32 bits        refused: white is unknown    colour to grey     ITU-R 601 luma

Pictures with transparency are files with colours as they are (straight), and data with colours times alpha
(premultiplied, as Porter & Duff 1984 have them): what colour hides under alpha 0 cannot be seen, so it is no part of
the data, and what lies under a low alpha counts as little as it shows.

A file is taken whole or not at all: one that ends too soon is refused, and so is a PNG whose checksums do not hold or
that has no end (Pillow reads past both), for its pixels may not be those that were saved.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from ddpm_core.errors import DataError
from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.rows.rules import BACKGROUND, MODES, Rules

Pixels = NDArray[np.uint8]

# Formats read by decoders of Pillow's own or of its bundled libraries; EPS, for one, would start another program.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_PNG = b"\x89PNG\r\n\x1a\n"
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# EXIF 2.3, tag 0x0112: the transpose that makes a picture of this orientation upright.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders raise on damaged bytes.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def decode(data: bytes, rules: Rules) -> Pixels:
    """A picture's file to pixels [C, H, W] of the rules' size; a DataError says why it cannot be one of the data."""
    return decode_with_sides(data, rules)[0]


def decode_with_sides(data: bytes, rules: Rules) -> tuple[Pixels, tuple[int, int]]:
    """The same, and the width and the height that the picture had, upright."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a picture is taken or refused; half-words about it help nobody
        if data.startswith(_PNG):
            _check_png(data)
        with _pillow_limit(None):  # by the head alone: our own limit is next, and says which key it is
            image = _opened(data)
        _check_sides(image.width, image.height, rules)
        try:
            with _pillow_limit(rules.max_pixels):
                image.load()
        except _DECODER_ERRORS as error:
            raise DataError(f"damaged {image.format}: {error or type(error).__name__}") from error
        try:
            upright = _eight_bits(_upright(image), rules)
            return _fitted(upright, rules), upright.size
        except _DECODER_ERRORS as error:
            raise DataError(f"cannot be converted from {image.format} mode {image.mode}: {error}") from error


def fit_pixels(pixels: Pixels, rules: Rules) -> Pixels:
    """Pixels [H, W, C] that a source holds decoded to [C, H, W] of the rules' size, by the same rules."""
    _check_sides(pixels.shape[1], pixels.shape[0], rules)
    return _fitted(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), rules)


def _opened(data: bytes) -> Image.Image:
    if not data:
        raise DataError("an empty file")
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(f"not a picture that can be read ({', '.join(_FORMATS)})") from error
    except _DECODER_ERRORS as error:
        raise DataError(f"damaged at its head: {error}") from error


@contextmanager
def _pillow_limit(pixels: int | None) -> Iterator[None]:
    """Pillow's own limit on the pixels of a picture, which else would refuse what `max_megapixels` allows."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _check_png(data: bytes) -> None:
    """Every chunk must have the checksum that it states, and the last must be IEND; what lies behind it is ignored."""
    place = len(_PNG)  # then length, kind, data and CRC-32 of kind and data, again and again
    while place + 12 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        end = place + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise DataError(f"damaged PNG: the checksum of its {kind.decode('latin-1')!r} chunk does not hold")
        if kind == b"IEND":
            return
        place = end + 4
    raise DataError("damaged PNG: it ends before its IEND chunk")


def _check_sides(width: int, height: int, rules: Rules) -> None:
    if min(width, height) < rules.min_side:
        raise DataError(f"{width} x {height} pixels, smaller than min_side {rules.min_side}")
    if width * height > rules.max_pixels:
        raise DataError(f"{width} x {height} pixels, more than the {rules.max_pixels} that max_megapixels allows")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _DECODER_ERRORS:  # EXIF that cannot be read says nothing
        return image
    transpose = _UPRIGHT.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def _eight_bits(image: Image.Image, rules: Rules) -> Image.Image:
    """Mode L, RGB or, where it is kept, RGBA. Pillow's own convert would whiten 16 bits in silence."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        levels = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((levels * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"pixels of 32 bits (mode {image.mode}) do not say what white is; save it with 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return rgba if rules.channels == "rgba" else _on_background(np.asarray(rgba), rules.background)
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def _on_background(rgba: Pixels, background: tuple[int, int, int]) -> Image.Image:
    alpha = rgba[:, :, 3:].astype(np.uint32)
    ground = np.array(background, dtype=np.uint32)
    mixed = (rgba[:, :, :3] * alpha + ground * (255 - alpha) + 127) // 255
    return Image.fromarray(mixed.astype(np.uint8))


def _fitted(image: Image.Image, rules: Rules) -> Pixels:
    """To the size and the channels of the data set; a picture that has them already keeps its very pixels."""
    mode = MODES[rules.channels]
    image = image if image.mode == mode else image.convert(mode)
    (width, height), (wide, high) = image.size, rules.size
    if rules.fit == "crop" and width * high != height * wide:
        across, down = min(width, max(1, height * wide // high)), min(height, max(1, width * high // wide))
        left, top = (width - across) // 2, (height - down) // 2
        image = image.crop((left, top, left + across, top + down))
    elif rules.fit == "pad" and width * high != height * wide:
        across, down = max(width, -(-height * wide // high)), max(height, -(-width * high // wide))
        image = _padded(image, across, down, rules)
    if image.size != rules.size:
        image = image.resize(rules.size, _FILTERS[rules.filter])  # of RGBA by colours times alpha: none hidden comes in
    pixels = np.asarray(image, dtype=np.uint8)
    if mode == "RGBA":
        pixels = np.where(pixels[:, :, 3:] > 0, pixels, np.uint8(0))
    return np.ascontiguousarray(pixels[None] if mode == "L" else pixels.transpose(2, 0, 1))


def _padded(image: Image.Image, width: int, height: int, rules: Rules) -> Image.Image:
    """With the background around it, or with nothing where transparency is kept."""
    if image.mode == "RGBA":
        ground = Image.new("RGBA", (width, height))
    else:
        ground = Image.new("RGB", (width, height), rules.background).convert(image.mode)
    ground.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return ground


def premultiplied(straight: Pixels) -> Pixels:
    """Pixels [..., 4, H, W] of a file to data: colours times alpha."""
    alpha = straight[..., 3:, :, :].astype(np.uint32)
    colours = (straight[..., :3, :, :] * alpha + 127) // 255
    return np.concatenate([colours.astype(np.uint8), straight[..., 3:, :, :]], axis=-3)


def straight(data: Pixels) -> Pixels:
    """Data [..., 4, H, W] to pixels of a file: colours by alpha, white at most, and black where nothing is seen."""
    alpha = data[..., 3:, :, :].astype(np.uint32)
    whole = np.maximum(alpha, 1)
    colours = np.where(alpha > 0, np.minimum((data[..., :3, :, :] * np.uint32(255) + whole // 2) // whole, 255), 0)
    return np.concatenate([colours.astype(np.uint8), data[..., 3:, :, :]], axis=-3)


def on_background(data: Pixels, background: Sequence[int]) -> Pixels:
    """What is seen of data [..., 4, H, W] on a background, [..., 3, H, W]."""
    behind = np.array(background, dtype=np.uint32)[:, None, None] * (255 - data[..., 3:, :, :].astype(np.uint32))
    seen = data[..., :3, :, :] + (behind + 127) // 255
    return np.minimum(seen, 255).astype(np.uint8)


def shown(data: Pixels, spec: DataSpec) -> Pixels:
    """Data [..., C, H, W] as a person sees them; transparent ones on the background of the data."""
    return on_background(data, spec.about[BACKGROUND]) if spec.channels == 4 else data


def in_file(data: Pixels) -> Pixels:
    """Data [C, H, W] as the pixels of a file."""
    return straight(data) if data.shape[0] == 4 else data


def from_file(pixels: Pixels) -> Pixels:
    """The pixels [C, H, W] of a file as data; the inverse of `in_file`, but for rounding."""
    return premultiplied(pixels) if pixels.shape[0] == 4 else pixels


def encode_png(pixels: Pixels, text: Mapping[str, str] | None = None) -> bytes:
    """Pixels [C, H, W] of a file, of 1, 3 or 4 channels, to a PNG with these text chunks and no other metadata."""
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3, 4) or pixels.dtype != np.uint8:
        raise DataError(f"a PNG needs uint8 pixels [1, 3 or 4, H, W], got {pixels.dtype} {pixels.shape}")
    stream = io.BytesIO()
    flat = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    Image.fromarray(np.ascontiguousarray(flat)).save(stream, format="PNG", compress_level=6, pnginfo=info)
    return stream.getvalue()


def read_png(path: Path) -> Pixels:
    """The pixels [C, H, W] of a PNG that `encode_png` made."""
    return decode_png(path.read_bytes())


def decode_png(data: bytes) -> Pixels:
    """The pixels [C, H, W] in the bytes of a PNG of mode L, RGB or RGBA, as they are."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            pixels = np.asarray(image)
            mode = image.mode
    except _DECODER_ERRORS as error:
        raise DataError(f"must be a PNG that can be read, but {error}") from error
    if mode not in MODES.values():
        raise DataError(f"must be a PNG of mode {', '.join(MODES.values())}, got {mode}")
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def grid(images: Pixels, columns: int, scale: int, text: Mapping[str, str] | None = None) -> bytes:
    """Pixels [n, C, H, W] of files row by row as one PNG, each pixel `scale` wide, with a grey line between them."""
    if images.ndim != 4 or not len(images) or columns < 1 or scale < 1:
        raise DataError(
            f"a grid needs pictures [n, C, H, W] with n of at least 1, and columns and scale of at least 1, got "
            f"{images.shape}, {columns} and {scale}"
        )
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    gap = 1
    canvas = np.full((channels, rows * (height + gap) + gap, columns * (width + gap) + gap), 128, dtype=np.uint8)
    canvas[3:] = 255  # the line is opaque
    for number, image in enumerate(images):
        top = gap + (number // columns) * (height + gap)
        left = gap + (number % columns) * (width + gap)
        canvas[:, top : top + height, left : left + width] = image
    return encode_png(canvas.repeat(scale, axis=1).repeat(scale, axis=2), text)
