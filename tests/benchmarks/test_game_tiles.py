"""benchmarks/game_tiles.py: each whole tile once, in the folder of its class."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.game_tiles import cut


def test_whole_tiles_are_cut_once_and_flat_or_transparent_ones_are_none(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    noise[:, :, 3] = 255
    flat, open_ = np.full_like(noise, 255), noise.copy()
    open_[0, 0, 3] = 0
    other = np.rot90(noise)
    for name, tiles in (("floor", [noise, flat, open_]), ("wall", [other, noise, other])):
        Image.fromarray(np.concatenate(tiles, axis=1)).save(tmp_path / f"{name}.png")
    assert cut(tmp_path, tmp_path / "out") == {"floor": 1, "wall": 1}
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert written == {"floor/00-00.png", "wall/00-00.png"}
    assert (np.asarray(Image.open(tmp_path / "out" / "floor" / "00-00.png")) == noise[:, :, :3]).all()
