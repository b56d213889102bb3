"""Pictures wider than high, and pictures whose transparency is kept."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_core.errors import ParamsError
from pipelines.kinds.pictures.rows.decode import (
    decode,
    decode_png,
    encode_png,
    fit_pixels,
    from_file,
    grid,
    in_file,
    premultiplied,
    shown,
    straight,
)
from tests.support.pictures import FOLDER, RULES, Project, file_bytes, png, write

WIDE = replace(RULES, size=(12, 8))
CLEAR = replace(RULES, channels="rgba")


def striped(width: int, height: int) -> bytes:
    """Each column has a level of its own, and each row: red says the column, green the row."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.arange(width)
    pixels[:, :, 1] = np.arange(height)[:, None]
    return file_bytes(Image.fromarray(pixels), "PNG")


@pytest.mark.parametrize(
    ("width", "height", "columns", "rows"),
    [(12, 8, (0, 11), (0, 7)), (20, 8, (4, 15), (0, 7)), (12, 20, (0, 11), (6, 13)), (24, 16, None, None)],
)
def test_crop_takes_the_middle_of_the_ratio_asked_for(
    width: int, height: int, columns: tuple[int, int] | None, rows: tuple[int, int] | None
) -> None:
    pixels = decode(striped(width, height), replace(WIDE, filter="nearest"))
    assert pixels.shape == (3, 8, 12)
    if columns is not None and rows is not None:
        assert (pixels[0, 0, 0], pixels[0, 0, -1]) == columns
        assert (pixels[1, 0, 0], pixels[1, -1, 0]) == rows


def test_pad_puts_the_background_beside_what_is_too_narrow() -> None:
    white = file_bytes(Image.new("RGB", (4, 8), (10, 20, 30)), "PNG")
    pixels = decode(white, replace(WIDE, fit="pad", background=(1, 2, 3)))
    assert pixels[:, 0, 0].tolist() == pixels[:, 0, -1].tolist() == [1, 2, 3]
    assert pixels[:, 0, 4].tolist() == pixels[:, 7, 7].tolist() == [10, 20, 30]


def test_stretch_fills_the_rectangle() -> None:
    assert decode(striped(8, 8), replace(WIDE, fit="stretch")).shape == (3, 8, 12)


def test_pixels_that_a_source_holds_become_rectangles_too() -> None:
    assert fit_pixels(np.zeros((20, 20, 1), np.uint8), replace(WIDE, channels="grey")).shape == (1, 8, 12)


def test_a_size_is_a_side_or_width_and_height() -> None:
    assert replace(FOLDER, resolution=8).rules().size == replace(FOLDER, resolution=(8, 8)).rules().size == (8, 8)
    assert replace(FOLDER, resolution=(12, 8)).rules().spec(()).shape == (3, 8, 12)
    with pytest.raises(ParamsError, match=r"resolution: must be at least 1, or \[width, height\]"):
        replace(FOLDER, resolution=(12, 0))


def test_the_contract_wants_width_and_height_each(tmp_path: Path) -> None:
    project = Project(tmp_path, resolution=(12, 8))
    write(project.raw, {f"{label}/{n}.png": png(n + 9 * ord(label)) for label in "ab" for n in range(4)})
    manifest = project.prepare()
    assert {(row.width, row.height) for row in manifest.rows} == {(12, 8)}


# ------------------------------------------------------------------------------------------------- transparency


def rgba(pixels: np.ndarray, format: str = "PNG") -> bytes:
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    return file_bytes(Image.fromarray(pixels.astype(np.uint8), "RGBA"), format, **options)


def drawn(hidden: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """A half-transparent red square in nothing, which hides a colour."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :, :3] = hidden
    pixels[2:6, 2:6] = (200, 40, 0, 128)
    return pixels


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_transparency_is_kept_where_it_is_asked_for(format: str) -> None:
    assert (decode(rgba(drawn(), format), CLEAR) == drawn().transpose(2, 0, 1)).all()


def test_colours_under_alpha_0_are_no_part_of_the_data() -> None:
    plain, hiding = (decode(rgba(drawn(hidden)), CLEAR) for hidden in ((0, 0, 0), (255, 90, 7)))
    assert (plain == hiding).all()


def test_hidden_colours_do_not_bleed_into_what_is_made_smaller() -> None:
    large = np.zeros((16, 16, 4), np.uint8)
    large[:, :, :3] = (0, 255, 0)
    large[4:12, 3:13] = (200, 0, 0, 255)
    pixels = decode(rgba(large), replace(CLEAR, filter="bilinear"))
    assert 0 < (pixels[3] < 255).sum() < 64
    assert pixels[1].max() == 0


def test_a_picture_without_transparency_is_opaque() -> None:
    for data in (png(1, 8), png(1, 8, 1), file_bytes(Image.new("RGB", (8, 8), 7), "JPEG")):
        assert (decode(data, CLEAR)[3] == 255).all()


def test_padding_is_transparent() -> None:
    pixels = decode(file_bytes(Image.new("RGB", (4, 8), (9, 9, 9)), "PNG"), replace(CLEAR, fit="pad"))
    assert pixels[:, 0, 0].tolist() == [0, 0, 0, 0]
    assert pixels[:, 0, 4].tolist() == [9, 9, 9, 255]


def test_data_are_colours_times_alpha_and_come_back_to_the_rounding() -> None:
    every = np.array([[c, c, c, a] for c in range(0, 256, 5) for a in range(256)], np.uint8).T[:, :, None]
    data = premultiplied(every)
    assert (data[:3] <= data[3:]).all()
    exact = every[:3].astype(float) * every[3:] / 255
    assert np.abs(data[:3] - exact).max() <= 0.5
    again = premultiplied(straight(data))
    assert np.abs(again.astype(int) - data).max() <= 1
    opaque = every[:, every[3, :, 0] == 255]
    assert (straight(premultiplied(opaque)) == opaque).all()


def test_a_network_s_colour_above_its_alpha_is_white_at_most_and_nothing_is_black() -> None:
    data = np.array([[200, 200, 200, 100], [200, 10, 0, 0]], np.uint8).T[:, :, None]
    assert straight(data)[:, :, 0].T.tolist() == [[255, 255, 255, 100], [0, 0, 0, 0]]


def test_on_the_background_of_the_data_the_same_is_seen_as_pillow_shows() -> None:
    spec = replace(CLEAR, background=(10, 200, 60)).spec(())
    assert spec.about == {"background": [10, 200, 60]}
    data = from_file(decode(rgba(drawn()), CLEAR))
    ground = Image.new("RGBA", (8, 8), (10, 200, 60, 255))
    seen = np.asarray(Image.alpha_composite(ground, Image.fromarray(drawn(), "RGBA")))[:, :, :3].transpose(2, 0, 1)
    assert np.abs(shown(data, spec).astype(int) - seen).max() <= 1


def test_a_file_of_data_is_a_png_with_alpha_and_a_grid_has_opaque_lines() -> None:
    data = from_file(decode(rgba(drawn()), CLEAR))
    again = decode_png(encode_png(in_file(data)))
    assert again.shape == (4, 8, 8)
    assert np.abs(from_file(again).astype(int) - data).max() <= 1
    with Image.open(io.BytesIO(grid(np.stack([in_file(data)] * 2), 2, 1))) as image:
        assert image.mode == "RGBA"
        assert image.getpixel((0, 0)) == (128, 128, 128, 255)
        assert image.getpixel((1, 1)) == (0, 0, 0, 0)


def test_shards_hold_colours_times_alpha_and_an_empty_picture_is_flat(tmp_path: Path) -> None:
    from pipelines.shards.archive import read_split

    project = Project(tmp_path, channels="rgba", labels="none")
    files = {f"{n}.png": rgba(drawn((n, n, n)) + np.array([n, 0, 0, n], np.uint8)) for n in range(12)}
    write(project.raw, {**files, "empty.png": rgba(np.full((8, 8, 4), (50, 60, 70, 0)))})
    manifest = project.prepare()
    assert {row.mode for row in manifest.rows} == {"RGBA"}
    assert {row.source: row.std for row in manifest.rows}["empty.png"] == 0
    (tmp_path / "out").mkdir(exist_ok=True)
    project.paths.contract.write_text('{"passed": true}')
    project.shard()
    x = np.concatenate([read_split(project.paths.shards, split).x for split in ("train", "test")])
    assert x.shape == (13, 4, 8, 8)
    assert (x[:, :3] <= x[:, 3:]).all()
