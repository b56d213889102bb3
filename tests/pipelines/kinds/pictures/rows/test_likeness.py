"""Near duplicates: what a person would call the same picture is found, and what is another picture is not."""

import io
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from pipelines.kinds.pictures.rows import likeness
from pipelines.kinds.pictures.rows.likeness import ALIKE, fingerprint, near_duplicates

RNG = np.random.Generator(np.random.Philox(key=[5, 5]))
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "compressed": lambda image: _jpeg(image, 75),
    "smaller": lambda image: image.resize((48, 48), Image.Resampling.BICUBIC),
    "larger": lambda image: image.resize((150, 150), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.1),
    "smaller and compressed": lambda image: _jpeg(image.resize((48, 48), Image.Resampling.BILINEAR), 75),
}


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue()))


def drawing() -> Image.Image:
    """Six rectangles of random colours on a ground of another, 64 x 64."""
    image = Image.new("RGB", (64, 64), tuple(RNG.integers(20, 220, 3).tolist()))
    for _ in range(6):
        left, top = RNG.integers(0, 44, 2).tolist()
        width, height = RNG.integers(8, 30, 2).tolist()
        image.paste(tuple(RNG.integers(20, 220, 3).tolist()), (left, top, left + width, top + height))
    return image


def prepared(image: Image.Image, mode: str = "RGB", side: int = 32) -> NDArray[np.uint8]:
    levels = np.asarray(image.convert(mode).resize((side, side), Image.Resampling.LANCZOS))
    return levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)


def cosine(a: bytes, b: bytes) -> float:
    left, right = (np.frombuffer(each, dtype=np.int8).astype(np.float64) for each in (a, b))
    return float(left @ right / np.sqrt((left @ left) * (right @ right)))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found_and_other_drawings_are_not(name: str, mode: str) -> None:
    images = [drawing() for _ in range(20)]
    bits = {f"{number:02d}": fingerprint(prepared(image, mode)) for number, image in enumerate(images)}
    assert near_duplicates(bits) == {}
    copies = {f"{number:02d} {name}": fingerprint(prepared(COPIES[name](images[number]), mode)) for number in range(20)}
    groups = near_duplicates({**bits, **copies})
    assert groups == {key: key[:2] for key in (*bits, *copies)}


def test_the_packaged_digits_are_all_different() -> None:
    """So the default split is what it was before near duplicates were looked for."""
    from pipelines.kinds.pictures.sources.embedded_digits import _read
    from tests.support.imports import ROOT

    digits, _ = _read(ROOT / "pipelines/kinds/pictures/sources/embedded_digits.json")
    assert len(digits) == 5000
    assert near_duplicates({f"{number:04d}": fingerprint(digit[None]) for number, digit in enumerate(digits)}) == {}


def test_a_drawing_in_another_colour_is_another_picture() -> None:
    levels = np.full((3, 32, 32), 250, dtype=np.uint8)
    red, blue = levels.copy(), levels.copy()
    red[1:, 8:24, 10:20] = 40
    blue[:2, 8:24, 10:20] = 40
    assert near_duplicates({"a": fingerprint(red), "b": fingerprint(blue)}) == {}


def test_a_mirror_image_and_a_negative_are_other_pictures() -> None:
    picture = prepared(drawing())
    others = {"a": picture, "b": np.ascontiguousarray(picture[:, :, ::-1]), "c": 255 - picture}
    assert near_duplicates({name: fingerprint(each) for name, each in others.items()}) == {}


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nearly_flat_pictures_have_no_fingerprint_and_no_near_duplicates(level: int) -> None:
    flat = np.full((1, 16, 16), level, dtype=np.uint8)
    speck = flat.copy()
    speck[0, 3, 3] = abs(level - 2)
    bits = {"a": fingerprint(flat), "b": fingerprint(speck)}
    assert bits == {"a": b"", "b": b""}
    assert near_duplicates(bits) == {}


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 9), (3, 2, 2), (4, 8, 8), (1, 5, 40)])
def test_pictures_of_any_shape_have_a_fingerprint(shape: tuple[int, int, int]) -> None:
    picture = RNG.integers(0, 256, shape, dtype=np.uint8)
    channels, height, width = shape
    most, of_colour = (min(height, n) * min(width, n) for n in (12, 6))
    bright = channels if channels < 3 else channels - 2
    assert len(fingerprint(picture)) in (0, bright * most + (channels - bright) * of_colour)


def test_the_same_picture_has_the_same_fingerprint_to_the_byte() -> None:
    picture = prepared(drawing())
    assert fingerprint(picture) == fingerprint(picture.copy())
    assert max(np.abs(np.frombuffer(fingerprint(picture), dtype=np.int8))) == 127


def near(bits: NDArray[np.int8], angle: float) -> NDArray[np.int8]:
    """A vector at this angle from another, in radians."""
    start = bits.astype(np.float64)
    other = RNG.standard_normal(len(start))
    other -= start * (other @ start) / (start @ start)
    turned = np.cos(angle) * start / np.linalg.norm(start) + np.sin(angle) * other / np.linalg.norm(other)
    return np.asarray(np.rint(turned * 127 / np.abs(turned).max()), dtype=np.int8)


def test_the_hash_finds_the_pairs_that_comparing_all_finds() -> None:
    """Half of the pairs lie just within the limit, where the hash is least sure."""
    limit, bits = float(np.arccos(ALIKE)), {}
    for number in range(400):
        first = RNG.integers(-127, 128, 144).astype(np.int8)
        bits[f"{number:03d} a"] = first.tobytes()
        bits[f"{number:03d} b"] = near(first, limit * (0.97 if number % 2 else 1.03)).tobytes()
    expected = {
        name for a, b in combinations(sorted(bits), 2) if a[:3] == b[:3] and cosine(bits[a], bits[b]) >= ALIKE
        for name in (a, b)
    }  # fmt: skip
    assert 380 <= len(expected) <= 420
    assert set(near_duplicates(bits)) == expected


def test_near_duplicates_of_near_duplicates_are_one_group_named_by_its_least_digest() -> None:
    chain = [RNG.integers(-127, 128, 144).astype(np.int8)]
    for _ in range(30):
        chain.append(near(chain[-1], 0.1))
    names = [f"{(7 * place) % 31:02d}" for place in range(31)]
    bits = {name: each.tobytes() for name, each in zip(names, chain, strict=True)}
    assert cosine(bits[names[0]], bits[names[-1]]) < ALIKE
    assert near_duplicates(bits) == dict.fromkeys(names, "00")
    del bits[names[15]]  # the chain is cut
    assert len(set(near_duplicates(bits).values())) == 2


def test_the_order_of_the_pictures_and_the_size_of_a_block_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [drawing() for _ in range(10)]
    bits = {str(number): fingerprint(prepared(image)) for number, image in enumerate(images)}
    bits |= {f"{number} copy": fingerprint(prepared(_jpeg(image, 75))) for number, image in enumerate(images)}
    groups = near_duplicates(bits)
    assert len(groups) == 20
    monkeypatch.setattr(likeness, "_BLOCK", 3)
    assert near_duplicates(dict(reversed(bits.items()))) == groups
