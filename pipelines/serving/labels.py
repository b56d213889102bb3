"""What a person calls a class, by name or by number, to the label that the network takes."""

from collections.abc import Sequence
from difflib import get_close_matches

from ddpm_core.errors import ParamsError

Asked = int | str | None
"""A class by number or name, `none` or None for no label, `cycle` for one class after the other."""

_SHOWN = 20


def spread(asked: Asked | Sequence[Asked], n: int, classes: Sequence[str], where: str) -> list[int | None]:
    """One label for each of n pictures; a list is gone through again and again. `classes` is empty without labels."""
    if not classes:
        alone = [asked] if isinstance(asked, int | str | None) else list(asked)
        if all(item is None or item in ("none", "cycle") for item in alone):
            return [None] * n
        raise ParamsError(f"{where}: this model was trained without labels, got {alone[0]!r}; leave {where} out")
    if asked == "cycle":
        return [i % len(classes) for i in range(n)]
    items = [asked] if isinstance(asked, int | str | None) else list(asked)
    if not items:
        raise ParamsError(f"{where}: must name one class or more, got an empty list")
    labels = [label_of(item, classes, where) for item in items]
    return [labels[i % len(labels)] for i in range(n)]


def label_of(asked: Asked, classes: Sequence[str], where: str) -> int | None:
    """One class. A text is a class's name first and a number after that."""
    if asked is None or asked == "none":
        return None
    if isinstance(asked, str) and asked in classes:
        return list(classes).index(asked)
    number = int(asked) if isinstance(asked, int) or (asked.isascii() and asked.isdecimal()) else -1
    if 0 <= number < len(classes):
        return number
    near = get_close_matches(str(asked), classes, n=1)
    known = ", ".join(classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
    hint = f"did you mean {near[0]!r}?" if near else f"the classes are {known}"
    raise ParamsError(
        f"{where}: must be `cycle`, `none`, or classes by name or by number (0 to {len(classes) - 1}), got "
        f"{_short(asked)}; {hint}"
    )


def _short(value: Asked) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
