"""Pictures as files for the web: what is written has the same pixels, what is read is what was drawn."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.rows.decode import decode_png
from pipelines.kinds.pictures.serving import ServingPictures
from pipelines.kinds.pictures.serving.web_files import read, write
from pipelines.serving.base.request import InvalidRequest
from pipelines.serving.base.serving import Samples
from tests.support.tiny_bundle import tiny_spec

GREY, COLOUR = tiny_spec(1), tiny_spec(3)


def drawn(spec: DataSpec, n: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, *spec.shape), dtype=np.uint8)


def samples(spec: DataSpec, n: int = 1) -> Samples:
    return Samples(drawn(spec, n), {"label": [0] * n}, list(range(n)), {"bundle": "b"})


def file(pixels: NDArray[Any], format: str = "PNG", **options: Any) -> bytes:
    """Pixels [H, W] or [H, W, C] in a file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def opened(data: bytes, spec: DataSpec) -> tuple[str | None, NDArray[np.uint8]]:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("L" if spec.channels == 1 else "RGB"))
        return image.format, pixels[None] if spec.channels == 1 else pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_png_and_webp_have_the_very_pixels_and_jpeg_is_near(spec: DataSpec) -> None:
    made = samples(spec, 2)
    assert write(made, 0, "png", 100) == ServingPictures().encode(samples(spec), "png")
    np.testing.assert_array_equal(decode_png(write(made, 1, "png", 100)), made.data[1])
    for name, most in (("webp", 0), ("jpeg", 8)):
        format, pixels = opened(write(made, 1, name, 100), spec)
        assert format == name.upper()
        assert np.abs(pixels.astype(int) - made.data[1]).max() <= most, name


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_less_quality_takes_fewer_bytes(format: str) -> None:
    made = samples(tiny_spec(3, 64))
    assert len(write(made, 0, format, 10)) < len(write(made, 0, format, 60)) < len(write(made, 0, format, 100))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_a_picture_is_read_to_the_bit_in_any_mode_that_holds_it(format: str) -> None:
    colours = drawn(COLOUR)[0]
    picture, keep = read(file(colours.transpose(1, 2, 0), format, lossless=True), None, COLOUR)
    np.testing.assert_array_equal(picture, colours)
    assert keep is None
    grey = drawn(GREY)[0]
    as_rgba = np.concatenate([grey.repeat(3, axis=0), np.full_like(grey, 255)]).transpose(1, 2, 0)
    for pixels in (grey[0], as_rgba):
        np.testing.assert_array_equal(read(file(pixels, format, lossless=True), None, GREY)[0], grey)


def test_the_transparent_part_of_the_mask_is_filled_whatever_its_colours() -> None:
    mask = drawn(tiny_spec(4))[0].transpose(1, 2, 0).copy()
    mask[:, :, 3] = 1  # all but transparent is kept
    mask[2:, :5, 3] = 0
    picture, keep = read(file(drawn(GREY)[0, 0]), file(mask), GREY)
    np.testing.assert_array_equal(keep, mask[:, :, 3] == 1)
    np.testing.assert_array_equal(picture[0][keep], drawn(GREY)[0, 0][keep])


def test_without_a_mask_the_picture_s_own_transparency_says_what_is_filled() -> None:
    pixels = np.full((8, 8, 4), 255, dtype=np.uint8)
    pixels[:4] = (9, 8, 7, 0)
    picture, keep = read(file(pixels), None, GREY)
    np.testing.assert_array_equal(keep, pixels[:, :, 3] == 255)
    assert picture.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("picture", "mask", "field"),
    [
        (b"", None, "image"),
        (b"GIF89a", None, "image"),
        (file(np.zeros((8, 8), np.uint8))[:45], None, "image"),
        (file(np.zeros((8, 9), np.uint8)), None, "image"),
        (file(np.zeros((8, 8), np.uint8), "BMP"), None, "image"),
        (file(np.zeros((8, 8), np.uint16)), None, "image"),
        (file(drawn(COLOUR)[0].transpose(1, 2, 0)), None, "image"),
        (file(np.full((8, 8, 4), 128, np.uint8)), None, "image"),
        (file(np.zeros((8, 8), np.uint8)), file(np.zeros((8, 8), np.uint8)), "mask"),
        (file(np.zeros((8, 8), np.uint8)), file(np.zeros((4, 8, 4), np.uint8)), "mask"),
        (file(np.zeros((8, 8), np.uint8)), b"no picture", "mask"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_field(picture: bytes, mask: bytes | None, field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read(picture, mask, GREY)
    assert [fault["field"] for fault in error.value.faults] == [field]


def test_a_picture_that_would_be_huge_is_refused_by_its_head() -> None:
    huge = file(np.zeros((1, 1), np.uint8))
    head = huge.index(b"IHDR") + 4
    claims = huge[:head] + (60_000).to_bytes(4, "big") * 2 + huge[head + 8 :]
    with pytest.raises(InvalidRequest, match="image"):
        read(claims, None, GREY)
