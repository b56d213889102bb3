"""Decoding under stated rules: what each kind of picture becomes, and why one is refused."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ddpm_core.errors import DataError
from pipelines.kinds.pictures.rows.decode import decode, decode_png, encode_png, fit_pixels, grid
from tests.support.pictures import RULES, bomb, file_bytes, noise, png

SAME = replace(RULES, size=(12, 12))  # the size of the test pictures: nothing is resized
GREY = replace(SAME, channels="grey")


def test_a_picture_of_the_right_size_keeps_its_very_pixels() -> None:
    assert np.array_equal(decode(png(1), SAME), noise(1).transpose(2, 0, 1))
    assert np.array_equal(decode(png(1, channels=1), GREY), noise(1, channels=1)[None])


def test_grey_becomes_three_equal_channels_where_colour_is_asked_for() -> None:
    pixels = decode(png(1, channels=1), SAME)
    assert all(np.array_equal(channel, noise(1, channels=1)) for channel in pixels)


def test_colour_becomes_luma_where_grey_is_asked_for() -> None:
    red, green, blue = noise(1).astype(float).transpose(2, 0, 1)
    assert np.abs(decode(png(1), GREY)[0] - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 1


def test_sixteen_bits_are_scaled_and_not_whitened() -> None:
    levels = np.linspace(0, 65535, 144).reshape(12, 12).astype(np.uint16)
    data = file_bytes(Image.fromarray(levels), "PNG")
    assert np.array_equal(decode(data, GREY)[0], np.rint(levels / 257).astype(np.uint8))


def test_sixteen_bit_portable_greymap_is_scaled() -> None:
    levels = np.linspace(0, 65535, 144).astype(">u2")
    data = b"P5 12 12 65535\n" + levels.tobytes()
    assert np.array_equal(decode(data, GREY)[0].ravel(), np.rint(levels / 257).astype(np.uint8))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_that_do_not_say_what_white_is_are_refused(mode: str) -> None:
    data = file_bytes(Image.new(mode, (12, 12), 3), "TIFF")
    with pytest.raises(DataError, match=r"pixels of 32 bits \(mode [FI]\) do not say what white is; save it with"):
        decode(data, SAME)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_the_background(mode: str) -> None:
    image = Image.new("RGBA", (12, 12), (10, 10, 10, 0)).convert(mode)
    image.paste(Image.new("RGBA", (6, 12), (10, 10, 10, 255)).convert(mode), (0, 0))
    pixels = decode(file_bytes(image, "PNG"), replace(SAME, background=(200, 200, 200)))
    assert (pixels[:, :, :6] == 10).all()
    assert (pixels[:, :, 6:] == 200).all()


def test_half_transparency_is_the_mean_of_picture_and_background() -> None:
    data = file_bytes(Image.new("RGBA", (12, 12), (0, 100, 255, 51)), "PNG")
    pixels = decode(data, replace(SAME, background=(255, 0, 255)))
    assert [int(level) for level in pixels[:, 0, 0]] == [204, 20, 255]


def test_a_palette_with_a_transparent_colour_shows_the_background() -> None:
    image = Image.new("P", (12, 12), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    assert (decode(file_bytes(image, "PNG", transparency=1), SAME) == 255).all()
    assert (decode(file_bytes(image, "PNG"), SAME) == 9).all()


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (12, 12), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    pixels = decode(file_bytes(image, "JPEG", quality=95), SAME)
    assert np.abs(pixels[:, 0, 0].astype(int) - [255, 0, 0]).max() <= 6


@pytest.mark.parametrize("mode", ["1", "YCbCr"])
def test_other_modes_are_converted(mode: str) -> None:
    data = file_bytes(Image.new("L", (12, 12), 255).convert(mode), "TIFF" if mode == "1" else "JPEG")
    assert (decode(data, SAME) >= 254).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_exif_is_made_upright(orientation: int) -> None:
    upright = noise(5)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_bytes(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert np.array_equal(decode(data, SAME), upright.transpose(2, 0, 1))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (12, 12), (level, level, level)) for level in (40, 90)]
    data = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data, SAME) == 40).all()


def wide() -> bytes:
    """24 x 12: black, then white in the middle half, then black."""
    levels = np.zeros((12, 24), dtype=np.uint8)
    levels[:, 6:18] = 255
    return file_bytes(Image.fromarray(levels), "PNG")


def test_crop_keeps_the_middle() -> None:
    assert (decode(wide(), replace(GREY, fit="crop")) == 255).all()


def test_pad_adds_the_background_around() -> None:
    pixels = decode(wide(), replace(GREY, fit="pad", background=(77, 77, 77), size=(24, 24)))[0]
    assert (pixels[:6] == 77).all()
    assert (pixels[18:] == 77).all()
    assert (pixels[6:18, 6:18] == 255).all()


def test_stretch_keeps_all_and_changes_the_shape() -> None:
    pixels = decode(wide(), replace(GREY, fit="stretch"))[0]
    assert [int(level) for level in pixels[0]] == [0] * 3 + [255] * 6 + [0] * 3


def test_box_filter_halves_by_the_mean() -> None:
    pixels = decode(png(3, side=16, channels=1), replace(GREY, size=(8, 8)))[0]
    means = noise(3, side=16, channels=1).reshape(8, 2, 8, 2).mean(axis=(1, 3))
    assert np.abs(pixels - means).max() <= 1  # two passes, each rounds


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"these are words, not pixels", r"not a picture that can be read \(PNG, JPEG, WEBP, GIF, BMP, TIFF, PPM\)"),
        (png(1)[: len(png(1)) // 2], "damaged PNG: it ends before its IEND chunk"),
        (png(1, side=1), "1 x 1 pixels, smaller than min_side 4"),
        (bomb(60_000), "60000 x 60000 pixels, more than the 1000000 that max_megapixels allows"),
        (bomb(2_000), "2000 x 2000 pixels, more than the 1000000 that max_megapixels allows"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n", "not a picture that can be read"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(data, RULES)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damaged_bytes_are_decoded_or_refused_and_never_anything_else(format: str) -> None:
    whole = file_bytes(Image.fromarray(noise(2)), format)
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 4):
            damaged[place] = int(rng.integers(0, 256))
        try:
            pixels = decode(bytes(damaged), RULES)
        except DataError:
            continue
        assert pixels.shape == (3, 8, 8)


def test_a_conversion_that_fails_names_the_kind_of_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError("no room for 1 GB")

    monkeypatch.setattr("pipelines.kinds.pictures.rows.decode._fitted", no_memory)
    with pytest.raises(DataError, match="cannot be converted from PNG mode RGB: no room for 1 GB"):
        decode(png(1), SAME)


def test_pixels_that_a_source_holds_decoded_follow_the_same_rules() -> None:
    assert np.array_equal(fit_pixels(noise(1), RULES), decode(png(1), RULES))
    with pytest.raises(DataError, match="2 x 2 pixels, smaller than min_side 4"):
        fit_pixels(noise(1, side=2), RULES)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip_keeps_every_pixel_and_repeats_its_bytes(channels: int) -> None:
    pixels = noise(4, channels=3).transpose(2, 0, 1)[:channels]
    assert np.array_equal(decode_png(encode_png(pixels)), pixels)
    assert encode_png(pixels) == encode_png(pixels.copy(order="F"))
    with_text = encode_png(pixels, {"a": "ü", "b": "日"})
    assert np.array_equal(decode_png(with_text), pixels)
    assert Image.open(io.BytesIO(with_text)).info == {"a": "ü", "b": "日"}


@pytest.mark.parametrize("pixels", [np.zeros((2, 4, 4), np.uint8), np.zeros((1, 4, 4)), np.zeros((4, 4), np.uint8)])
def test_png_of_other_shapes_is_refused(pixels: Any) -> None:
    with pytest.raises(DataError, match=r"a PNG needs uint8 pixels \[1, 3 or 4, H, W\], got"):
        encode_png(pixels)


def test_reading_back_refuses_what_prepare_did_not_write() -> None:
    with pytest.raises(DataError, match="must be a PNG that can be read"):
        decode_png(b"no")
    with pytest.raises(DataError, match="must be a PNG of mode L, RGB, RGBA, got LA"):
        decode_png(file_bytes(Image.new("LA", (4, 4)), "PNG"))


def test_grid_shows_the_pictures_row_by_row() -> None:
    images = np.stack([np.full((1, 2, 2), level, np.uint8) for level in (10, 20, 30)])
    pixels = np.asarray(Image.open(io.BytesIO(grid(images, columns=2, scale=3))))
    assert pixels.shape == (21, 21)
    assert [int(pixels[place]) for place in ((4, 4), (4, 13), (13, 4), (13, 13))] == [10, 20, 30, 128]


def test_grid_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match=r"a grid needs pictures \[n, C, H, W\] with n of at least 1"):
        grid(np.zeros((0, 1, 2, 2), np.uint8), 2, 1)


FORMATS = [
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("WEBP", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("PPM", {}),
]


@pytest.mark.parametrize(("format", "options"), FORMATS)
def test_a_file_that_lacks_its_last_byte_is_refused_whatever_it_is(format: str, options: dict[str, Any]) -> None:
    data = file_bytes(Image.fromarray(noise(4, side=40)), format, **options)
    assert decode(data, SAME).shape == (3, 12, 12)
    for cut in (1, len(data) // 3):
        with pytest.raises(DataError, match=r"damaged|not a picture"):
            decode(data[:-cut], SAME)


def chunks_of(data: bytes) -> dict[str, int]:
    """Where the data of each chunk of a PNG begin."""
    found, place = {}, 8
    while place < len(data):
        found[data[place + 4 : place + 8].decode()] = place + 8
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return found


@pytest.mark.parametrize("kind", ["IHDR", "IDAT", "tEXt", "IEND"])
def test_a_png_is_refused_if_any_checksum_that_it_states_does_not_hold(kind: str) -> None:
    about = PngInfo()
    about.add_text("title", "noise")
    data = bytearray(file_bytes(Image.fromarray(noise(1)), "PNG", pnginfo=about))
    start = chunks_of(bytes(data))[kind]
    data[start + int.from_bytes(data[start - 8 : start - 4], "big")] ^= 1  # the first byte of its CRC
    with pytest.raises(DataError, match=rf"^damaged.*{kind}"):
        decode(bytes(data), SAME)


def test_what_lies_behind_the_end_of_a_png_is_no_matter() -> None:
    assert np.array_equal(decode(png(1) + b"more", SAME), decode(png(1), SAME))


@pytest.mark.parametrize("allowed", [True, False])
def test_the_limit_on_pixels_is_that_of_the_parameters_and_not_pillows(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses above twice as many; the picture has 1,600
    rules = replace(SAME, max_pixels=1_600 if allowed else 1_599)
    data = png(1, side=40)
    if allowed:
        assert decode(data, rules).shape == (3, 12, 12)
    else:
        with pytest.raises(DataError, match="40 x 40 pixels, more than the 1599 that max_megapixels allows"):
            decode(data, rules)
    assert Image.MAX_IMAGE_PIXELS == 100
