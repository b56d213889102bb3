"""Game tiles with labels, for docs/gallery.md: `python benchmarks/game_tiles.py SHEETS OUT`.

SHEETS is the folder of Debian's package crawl-tiles-data that holds floor.png and wall.png, sheets of 32 x 32 pixels a
tile. Each whole tile with more than a few colours is written once, to a folder for each class. Most of these tiles are
in the public domain or CC0, the others under the GPL, as the package says; none is kept in this repository.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("floor", "wall")
SIDE, FEWEST_COLOURS = 32, 9


def cut(sheets: Path, out: Path) -> dict[str, int]:
    """How many tiles of each class there are."""
    seen: set[bytes] = set()
    counts = dict.fromkeys(CLASSES, 0)
    for name in CLASSES:
        sheet = np.asarray(Image.open(sheets / f"{name}.png").convert("RGBA"))
        (out / name).mkdir(parents=True, exist_ok=True)
        for row in range(sheet.shape[0] // SIDE):
            for column in range(sheet.shape[1] // SIDE):
                tile = sheet[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
                if not usable(tile) or tile.tobytes() in seen:
                    continue
                seen.add(tile.tobytes())
                counts[name] += 1
                Image.fromarray(tile[:, :, :3].copy()).save(out / name / f"{row:02d}-{column:02d}.png")
    return counts


def usable(tile: np.ndarray) -> bool:
    """Opaque throughout, and more than a flat ground."""
    colours = np.unique(tile[:, :, :3].reshape(-1, 3), axis=0)
    return bool(tile[:, :, 3].min() == 255) and len(colours) >= FEWEST_COLOURS


if __name__ == "__main__":
    sys.stdout.write(f"{cut(Path(sys.argv[1]), Path(sys.argv[2]))}\n")
