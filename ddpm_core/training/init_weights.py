"""Initial weights from another training's file or bundle (fine-tuning), fitted to the classes of these data."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import sha256_bytes
from ddpm_core.models.base import class_tensor
from ddpm_core.spec import DataSpec
from ddpm_core.training.config import InitFrom
from ddpm_core.training.ema import average_of
from ddpm_core.training.weights_header import about_in

_log = logging.getLogger(__name__)
_NAMED = 5  # tensors that an error names; it counts the others

ClassNames = Mapping[str, Sequence[str]]
"""The names of the classes of each condition that has classes."""


def begin_from(model: nn.Module, start: InitFrom, root: Path, spec: DataSpec) -> None:
    """Load the weights of a file or bundle into a network for these data.

    A condition NAME with classes has its embedding in `NAME.weight`: a row per class, then the null row. The rows are
    matched by the names of the classes; new classes keep their fresh rows.
    """
    theirs, their_classes = _read(start, root)
    mine, classes, notes = model.state_dict(), _class_names(spec), ""
    rows: dict[str, Tensor] = {}
    for name in sorted({*classes, *(their_classes or {})}):
        tensor = class_tensor(name)
        names = None if their_classes is None else their_classes.get(name, ())
        found, note = _class_rows(
            tensor, mine.pop(tensor, None), theirs.pop(tensor, None), classes.get(name, ()), names
        )
        rows |= {} if found is None else {tensor: found}
        notes += note
    _must_fit(mine, theirs, start.path)
    model.load_state_dict({**theirs, **rows})
    _log.info("the weights start as those of %s%s", start.path, notes)


def _class_names(spec: DataSpec) -> ClassNames:
    return {name: condition.classes for name, condition in spec.conditions.items() if condition.classes}


def _read(start: InitFrom, root: Path) -> tuple[dict[str, Tensor], ClassNames | None]:
    """The tensors of the file or bundle; its classes, or None if it does not tell them."""
    place = root / start.path
    if (place / "bundle.json").is_file():
        return _read_bundle(start, place)
    if not place.is_file():
        raise ParamsError(f"train.init_from.path: must be a safetensors file or a bundle folder; not found: {place}")
    return _read_file(start, place)


def _read_file(start: InitFrom, place: Path) -> tuple[dict[str, Tensor], ClassNames | None]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = place.read_bytes()
    _must_be(start, sha256_bytes(data), "file")
    try:
        tensors = average_of(load(data), None)
        about = about_in(data[8 : 8 + int.from_bytes(data[:8], "little")])
        classes = _class_names(DataSpec.from_dict(about["spec"])) if about else None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ParamsError(
            f"train.init_from.path: must be a safetensors file such as out/weights.safetensors, but {place} cannot "
            f"be read as one ({error})"
        ) from error
    return tensors, classes


def _read_bundle(start: InitFrom, place: Path) -> tuple[dict[str, Tensor], ClassNames]:
    """Verifies every byte: `start.sha256` is the digest of bundle.json, which holds the digest of the graph."""
    from ddpm_core.bundle.format import read_bundle
    from ddpm_core.bundle.graph_weights import weights_of

    bundle = read_bundle(place)
    _must_be(start, bundle.digest, "bundle (the digest is that of its bundle.json)")
    tensors = weights_of(bundle.contents.values())
    if tensors is None:
        raise ParamsError(
            f"train.init_from.path: must be a bundle whose graph names its weights, but {place} does not (an older "
            "version made it); give the weights file that it was exported from, with the SHA-256 "
            f"{bundle.provenance.get('weights_sha256', '(unknown)')}"
        )
    return tensors, _class_names(bundle.spec)


def _must_be(start: InitFrom, digest: str, what: str) -> None:
    if digest != start.sha256:
        raise IntegrityError(
            f"train.init_from: {start.path} must have the SHA-256 {start.sha256}, got {digest}; if this is the "
            f"right {what}, write its digest into params.yaml"
        )


def _class_rows(
    tensor: str, mine: Tensor | None, theirs: Tensor | None, classes: Sequence[str], their_classes: Sequence[str] | None
) -> tuple[Tensor | None, str]:
    """The class embedding with the rows of shared classes and the null row from theirs, and a note for the log."""
    if mine is None:
        return None, "" if theirs is None else f"; {tensor} is left out, as this network has no such condition"
    if theirs is None:
        return mine, f"; {tensor} starts fresh, as they have no such condition"
    if theirs.shape[1:] != mine.shape[1:]:
        raise _misfit([f"{tensor} {_shape(theirs)} for {_shape(mine)}"], "the file")
    if their_classes is None:
        if theirs.shape != mine.shape:
            fault = f"{tensor} {_shape(theirs)} for {_shape(mine)}, without the names of its classes"
            raise _misfit([fault], "the file")
        return theirs, f"; the classes of {tensor} have no names and are taken in their order"
    rows = mine.clone()
    rows[-1] = theirs[-1]
    shared = [name for name in classes if name in their_classes]
    for name in shared:
        rows[list(classes).index(name)] = theirs[list(their_classes).index(name)]
    fresh = [name for name in classes if name not in shared]
    return rows, f"; {len(shared)} classes are matched by name" + (f", fresh: {', '.join(fresh)}" if fresh else "")


def _must_fit(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor], path: str) -> None:
    faults = [f"{name} is missing" for name in mine if name not in theirs]
    faults += [f"{name} is not of this network" for name in theirs if name not in mine]
    faults += [
        f"{name} {_shape(theirs[name])} for {_shape(mine[name])}"
        for name in mine
        if name in theirs and theirs[name].shape != mine[name].shape
    ]
    if faults:
        raise _misfit(faults, path)


def _misfit(faults: list[str], path: str) -> ParamsError:
    more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return ParamsError(
        f"train.init_from: {path} must hold the weights of a network of this shape, but: "
        f"{'; '.join(faults[:_NAMED])}{more}; set section `model` (and diffusion.variance, train.conditioning) as in "
        "that training"
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
