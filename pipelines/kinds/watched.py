"""What DVC must be able to read of the raw data before it can say whether they changed."""

import os
from collections.abc import Iterator
from pathlib import Path

from ddpm_core.errors import ParamsError
from pipelines.kinds.quarantine import shown_name

_NAMED = 3


def check_watched(path: str, root: Path) -> None:
    """Refuse a `source.path` that DVC would stumble or hang on; a ParamsError, since nothing was started yet.

    What merely cannot be used is none of this: prepare puts it in quarantine.
    """
    place = root / path
    if not place.exists():
        raise ParamsError(
            f"source.path: {place} must be there, but there is nothing; give the folder or file of the data"
        )
    troubles = list(_troubles(place)) if place.is_dir() else []
    if troubles:
        shown = "; ".join(troubles[:_NAMED]) + (
            f"; and {len(troubles) - _NAMED} more" if len(troubles) > _NAMED else ""
        )
        raise ParamsError(
            f"source.path: DVC watches every file in {place}, so each must be one that can be read, but: {shown}; "
            "remove them, give them other names or mend the links"
        )


def _is_text(name: str) -> bool:
    """Whether DVC can write a name down: bytes that are no UTF-8 are surrogates in it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _troubles(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        for entry in sorted([*folders, *names]):
            path = os.path.join(place, entry)
            if not _is_text(entry):
                yield f"{shown_name(path)} has a name that is not UTF-8"
            elif not os.path.exists(path):
                yield f"{path} is a link whose target is missing"
            elif not os.path.isfile(path) and not os.path.isdir(path):
                yield f"{path} is a pipe, a socket or a device"
