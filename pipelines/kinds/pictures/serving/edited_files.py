"""The picture and the mask of `ddpm edit`, read from PNGs and checked against the model's pictures."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.spec import DataSpec
from pipelines.kinds.pictures.rows.decode import from_file, read_png

_MEND = "resize it or change its mode in any editor and save it as PNG"


def picture(file: Path, spec: DataSpec) -> NDArray[np.uint8]:
    """The pixels [C, H, W], of the very shape of the model's pictures."""
    pixels = from_file(_read(file, "--picture"))
    if pixels.shape != spec.shape:
        raise ParamsError(f"--picture: must be {_said(spec.shape)}, as the model's, got {_said(pixels.shape)}; {_MEND}")
    return pixels


def kept(file: Path, spec: DataSpec) -> NDArray[np.bool_]:
    """Where the mask [H, W] is black."""
    pixels = _read(file, "--mask")
    if pixels.shape[1:] != spec.shape[1:]:
        raise ParamsError(f"--mask: must be {_said((1, *spec.shape[1:]))}, got {_said(pixels.shape)}; {_MEND}")
    colours = pixels[:3]  # without the alpha of a mask that has some
    white, black = (colours == 255).all(axis=0), (colours == 0).all(axis=0)
    if not (white | black).all():
        raise ParamsError(
            f"--mask: must be black (kept) and white (filled) alone, got {(~(white | black)).sum()} other pixels; draw "
            "it without smooth edges"
        )
    if not white.any():
        raise ParamsError("--mask: must have white pixels, where the picture is filled, got none; swap black and white")
    found: NDArray[np.bool_] = black
    return found


def _read(file: Path, option: str) -> NDArray[np.uint8]:
    if not file.is_file():
        raise ParamsError(f"{option}: file not found: {file}")
    try:
        return read_png(file)
    except DataError as error:
        raise ParamsError(f"{option}: {file}: {error}; save it as a PNG, grey or RGB, 8 bits a channel") from error


def _said(shape: tuple[int, ...]) -> str:
    kind = {1: "grey", 3: "colour", 4: "colour with transparency"}.get(shape[0], f"{shape[0]} channels")
    return f"{shape[2]} x {shape[1]} pixels, {kind}"
