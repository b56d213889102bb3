"""Where the weights begin: fresh, or as those of another training, fitted to these data's classes (fine-tuning)."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import sha256_bytes
from ddpm_core.models import CLASS_ROWS
from ddpm_core.spec import DataSpec
from ddpm_core.training.config import InitFrom
from ddpm_core.training.ema import average_of

_log = logging.getLogger(__name__)
_NAMED = 5  # tensors that a refusal names


def begin_from(model: nn.Module, start: InitFrom, root: Path, classes: Sequence[str]) -> None:
    """Put the weights of a file or bundle into a network; those that it has not stay fresh, and that is said."""
    theirs, theirs_classes = _read(start, root)
    mine = model.state_dict()
    rows, said = _class_rows(mine.get(CLASS_ROWS), theirs.pop(CLASS_ROWS, None), classes, theirs_classes)
    _must_fit({name: tensor for name, tensor in mine.items() if name != CLASS_ROWS}, theirs, start.path)
    model.load_state_dict({**theirs, **({} if rows is None else {CLASS_ROWS: rows})})
    _log.info("the weights begin as those of %s%s", start.path, said)


def _read(start: InitFrom, root: Path) -> tuple[dict[str, Tensor], Sequence[str] | None]:
    """The tensors of the file or bundle, and the names of its classes if it tells them."""
    place = root / start.path
    if (place / "bundle.json").is_file():
        return _read_bundle(start, place)
    if not place.is_file():
        raise ParamsError(f"train.init_from.path: must be a safetensors file or a bundle's folder, but {place} is none")
    return _read_file(start, place)


def _read_file(start: InitFrom, place: Path) -> tuple[dict[str, Tensor], Sequence[str] | None]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = place.read_bytes()
    _must_be(start, sha256_bytes(data), "file")
    try:
        tensors = average_of(load(data), None)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header.get("__metadata__", {}).get("ddpm", "{}"))
        classes = DataSpec.from_dict(about["spec"]).classes if about else None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ParamsError(
            f"train.init_from.path: must be a safetensors file such as out/weights.safetensors, but {place} does not "
            f"read as one ({error})"
        ) from error
    return tensors, classes


def _read_bundle(start: InitFrom, place: Path) -> tuple[dict[str, Tensor], Sequence[str]]:
    """Every byte of a bundle is verified; its digest is that of bundle.json, which holds the digest of the graph."""
    from ddpm_core.bundle.format import read_bundle
    from ddpm_core.bundle.graph_weights import weights_in

    bundle = read_bundle(place)
    _must_be(start, bundle.digest, "bundle (of its bundle.json, that is)")
    tensors = weights_in(bundle.model)
    if tensors is None:
        raise ParamsError(
            f"train.init_from.path: must be a bundle whose graph says which weight is which, but {place} does not (an "
            "older version made it); give the file that it was exported from, whose SHA-256 is "
            f"{bundle.provenance.get('weights_sha256', 'not told')}"
        )
    return tensors, bundle.spec.classes


def _must_be(start: InitFrom, digest: str, what: str) -> None:
    if digest != start.sha256:
        raise IntegrityError(
            f"train.init_from: {start.path} must have the SHA-256 {start.sha256}, but has {digest}; if this is the "
            f"{what} that is meant, write its digest into params.yaml"
        )


def _class_rows(
    mine: Tensor | None, theirs: Tensor | None, classes: Sequence[str], their_classes: Sequence[str] | None
) -> tuple[Tensor | None, str]:
    """The class embedding: rows of classes that both name, and the null row, are taken; the others stay fresh."""
    if mine is None:
        return None, "" if theirs is None else "; its classes are left out, as this network is told none"
    if theirs is None:
        return mine, "; it was told no classes, so theirs begin fresh"
    if theirs.shape[1:] != mine.shape[1:]:
        raise _misfit([f"{CLASS_ROWS} {_shape(theirs)} for {_shape(mine)}"], "the file")
    if their_classes is None:
        if theirs.shape != mine.shape:
            fault = f"{CLASS_ROWS} {_shape(theirs)} for {_shape(mine)}, without the names of its classes"
            raise _misfit([fault], "the file")
        return theirs, "; its classes are not named and are taken in their order"
    rows = mine.clone()
    rows[-1] = theirs[-1]
    shared = [name for name in classes if name in their_classes]
    for name in shared:
        rows[list(classes).index(name)] = theirs[list(their_classes).index(name)]
    fresh = [name for name in classes if name not in shared]
    return rows, f"; {len(shared)} classes are taken by their name" + (f", fresh: {', '.join(fresh)}" if fresh else "")


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
        f"{'; '.join(faults[:_NAMED])}{more}; set section `model` (and diffusion.variance, train.conditioning) to what "
        "that training had"
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
