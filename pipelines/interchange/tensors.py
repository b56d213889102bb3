"""Tensors of other libraries' files: read without running code, and laid out under this project's names."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_core.errors import IntegrityError, ParamsError

_NAMED = 5  # tensors that an error names; it counts the others


@dataclass(frozen=True)
class Place:
    """One tensor here and the tensors there that make it, stacked along the first axis.

    `flat`: the weights of a linear map, which a library keeps as [out, in] or with axes of size 1 after these.
    """

    ours: str
    theirs: tuple[str, ...]
    flat: bool = False


def layer(ours: str, theirs: str, *, flat: bool = False) -> list[Place]:
    """Weight and bias of a layer."""
    return [Place(f"{ours}.{each}", (f"{theirs}.{each}",), flat) for each in ("weight", "bias")]


def read_tensors(file: Path, *, pickle: bool) -> dict[str, Any]:
    """The content of a safetensors file, or of torch's own format where `pickle` allows it."""
    if not file.is_file():
        raise ParamsError(f"{file}: must be a file with weights, found none")
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(file))
        except SafetensorError as error:
            raise IntegrityError(f"{file}: must be a safetensors file, got one that does not read ({error})") from error
    if not pickle:
        raise ParamsError(
            f"{file}: must be a safetensors file, got {file.suffix or 'no ending'}, which is read as a pickle; save it "
            "as safetensors, or give --pickle, which reads tensors and plain values alone (torch.load, weights_only)"
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no common class: pickle, zip, type and value errors come through
        raise IntegrityError(
            f"{file}: must hold tensors and plain values alone, got {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{file}: must hold a mapping of names to tensors, got {type(content).__name__}")
    return content


def laid_out(
    places: Iterable[Place], theirs: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Their tensors under our names, in float32; one error names what lacks, is left over or has another shape."""
    places = list(places)
    wanted = {name for place in places for name in place.theirs}
    lacking, left = sorted(wanted - set(theirs)), sorted(set(theirs) - wanted)
    wrong = [
        f"{name} {tuple(theirs[name].shape)} in place of {expected}"
        for place in places
        for name in place.theirs
        if name in theirs
        for expected in [_expected(place, shapes[place.ours])]
        if not _fits(tuple(theirs[name].shape), expected, flat=place.flat)
    ]
    faults = [
        f"{said} {', '.join(names[:_NAMED])}{f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''}"
        for said, names in (("missing", lacking), ("unknown", left), ("of another shape", wrong))
        if names
    ]
    if faults:
        raise IntegrityError(
            f"weights: must be those of the network that the configuration tells of, got tensors {'; '.join(faults)}"
        )
    if bad := [name for name in sorted(wanted) if not torch.isfinite(theirs[name]).all()]:
        raise IntegrityError(f"weights: must be finite, got others in {', '.join(bad[:_NAMED])}")
    return {
        place.ours: torch.cat(
            [theirs[name].float().reshape(_expected(place, shapes[place.ours])) for name in place.theirs]
        )
        .reshape(shapes[place.ours])
        .contiguous()
        for place in places
    }


def taken_apart(places: Iterable[Place], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `laid_out`: our tensors under their names."""
    found = {}
    for place in places:
        parts = ours[place.ours].chunk(len(place.theirs))
        for name, part in zip(place.theirs, parts, strict=True):
            found[name] = (part.reshape(_without_ones(part.shape)) if place.flat else part).contiguous()
    return found


def _expected(place: Place, ours: tuple[int, ...]) -> tuple[int, ...]:
    return (ours[0] // len(place.theirs), *ours[1:])


def _fits(found: tuple[int, ...], expected: tuple[int, ...], *, flat: bool) -> bool:
    if not flat:
        return found == expected
    return math.prod(found) == math.prod(expected) and found[:2] == expected[:2] and set(found[2:]) <= {1}


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The first two axes, which are all that a linear map has."""
    return tuple(shape[:2])
