"""How many copies of pictures the perceptual hash finds, and what it takes for different pictures to be the same.

    python benchmarks/near_duplicates.py FOLDER [SIDE]

FOLDER holds pictures, with or without sub-folders. Of 200 of them it makes copies as people do; all of them it searches
for near duplicates, beside a comparison of every pair where there are at most 12,000.
"""

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from pipelines.kinds.pictures.rows.likeness import ALIKE, fingerprint, near_duplicates


def copies(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    width, height = image.size
    for quality in (90, 75, 50):
        yield f"JPEG {quality}", jpeg(image, quality)
    smaller = image.resize((width * 3 // 4, height * 3 // 4), Image.Resampling.BICUBIC)
    yield "3/4 of the size", smaller
    yield "half of the size", image.resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    yield "twice the size", image.resize((width * 2, height * 2), Image.Resampling.BICUBIC)
    for factor in (0.9, 0.95, 1.05, 1.1, 1.2):
        yield f"brightness x {factor}", ImageEnhance.Brightness(image).enhance(factor)
    yield "3/4, JPEG 75, brightness x 1.1", ImageEnhance.Brightness(jpeg(smaller, 75)).enhance(1.1)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue()))


def opened(path: Path) -> Image.Image:
    """In grey or RGB, on white."""
    image = Image.open(path)
    if image.mode == "L":
        return image
    ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def bits_of(image: Image.Image, side: int) -> bytes:
    levels = np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))
    return fingerprint(levels[None] if levels.ndim == 2 else np.ascontiguousarray(levels.transpose(2, 0, 1)))


def units(bits: list[bytes]) -> NDArray[np.float64]:
    vectors = np.stack([np.frombuffer(each, dtype=np.int8).astype(np.float64) for each in bits])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def main(folder: Path, side: int) -> None:
    images = [opened(path) for path in sorted(folder.rglob("*.png"))]
    start = time.process_time()
    bits = {f"{number:06d}": bits_of(image, side) for number, image in enumerate(images)}
    made = time.process_time()
    groups = near_duplicates(bits)
    print(f"{len(images)} pictures: {len(set(groups.values()))} groups of {len(groups)}; made equal and fingerprints "
          f"{made - start:.2f} CPU s, search {time.process_time() - made:.2f} CPU s")  # fmt: skip
    if len(images) <= 12_000:
        vectors = units([each for each in bits.values() if each])
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -1.0)
        print(f"every pair: {(cosines.max(axis=1) >= ALIKE).sum()} pictures; the nearest two {cosines.max():.4f}")
    found: dict[str, list[bool]] = {}
    for number in np.random.default_rng(0).permutation(len(images))[:200]:
        for name, copy in copies(images[number]):
            pair = {"a": bits[f"{number:06d}"], "b": bits_of(copy, side)}
            found.setdefault(name, []).append(len(near_duplicates(pair)) == 2)
    for name, hits in found.items():
        print(f"{name:32s} {np.mean(hits):.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 32)
