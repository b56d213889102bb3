"""Which labels some pictures have, why none are taken, and what their owner may do about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.kinds.pictures.profiling.profile import PictureProfile
from pipelines.kinds.pictures.profiling.recognise import table_beside

if TYPE_CHECKING:
    from pipelines.projects.own_presets import OwnPreset

_CLASS_LEAST = 10  # pictures of a class, or folders are no classes


def label_value(seen: PictureProfile, labels: str) -> str | None:
    """What section source says where there are labels, and where there are none."""
    if labels == "none":
        return seen.given.without_labels
    if seen.given.kind == "image_folder":
        return "folders" if seen.split is None else "split_folders"
    value: str | None = seen.given.label_value
    return value


def labels_of(seen: PictureProfile) -> tuple[str, str]:
    """`folders` stands for labels of any source."""
    word = "folders" if seen.given.kind == "image_folder" else "labels"
    if len(seen.classes) < 2 and seen.split is not None:
        return (
            "none",
            f"the folders {seen.split.names} are the sides of a split, and no folders of classes repeat in them",
        )
    if len(seen.classes) < 2 and seen.given.candidates:
        columns = ", ".join(repr(name) for name in seen.given.candidates)
        return "none", f"none of its columns is named like one of labels; {columns} may hold them"
    if len(seen.classes) < 2:
        return "none", "there are no class folders" if word == "folders" else "there are not two labels or more"
    all_of_them = len(seen.classes)
    small = [name for name, count in seen.classes.items() if count < _CLASS_LEAST]
    if small:
        return (
            "none",
            f"{len(small)} of {all_of_them} {word} hold fewer than {_CLASS_LEAST} pictures, such as {small[0]!r}",
        )
    if seen.outside > 0.02 * seen.files:
        return "none", f"{seen.outside} pictures lie outside of the {word}"
    return (
        "folders",
        f"each of {len(seen.classes)} {word} is a class, with {min(seen.classes.values())} pictures or more",
    )


def labels_asked_for(wanted: "OwnPreset", labels: str, why: str) -> tuple[str, str]:
    """What a preset that was asked for makes of the labels that there are."""
    if wanted.labels == "none":
        return "none", f"preset {wanted.name} is for pictures without labels"
    if wanted.labels == "use" and labels == "none":
        raise ParamsError(f"--preset {wanted.name}: must have pictures with labels, but {why}; take small-colour")
    return labels, why


def label_warnings(seen: PictureProfile, labels: str) -> Iterator[str]:
    if seen.split is not None and labels == "none":
        yield (
            f"the folders {seen.split.names} look like a split, but it is not kept: without classes pictures are held "
            "out by section split. Give every one of them the same sub-folders of classes, or give train alone"
        )
    if labels == "none" and len(seen.classes) >= 2:
        key, value = seen.given.label_key, label_value(seen, "folders")
        yield f"they are not used as classes, so that you cannot ask for one; source.{key}: {value} uses them"
    if labels == "none" and seen.given.candidates:
        first, *others = seen.given.candidates
        more = f", and source.attributes: {{{', '.join(f'{name}: {name}' for name in others)}}}" if others else ""
        yield (
            f"to ask for a kind of picture, call the column of labels `label` in the table and run init again; or set "
            f"source.label_column: {first}{more}, sample.guidance.weight: 0.6 and gate.max_accuracy_loss: 0.05"
        )
    beside = table_beside(Path(seen.given.source.path)) if seen.given.kind == "image_folder" else None
    if beside is not None:
        columns = [name for name in (beside[1].label_value, *beside[1].candidates) if name is not None]
        yield (
            f"{beside[0].name} names the pictures" + (f" and has the columns {', '.join(columns)}" if columns else "")
            + f": `ddpm init FOLDER --data {beside[0]}` takes it as their table"
        )  # fmt: skip
