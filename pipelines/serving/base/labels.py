"""Classes by name or number, as a person writes them, to the condition `label` that the network is told."""

from collections.abc import Sequence
from difflib import get_close_matches

from ddpm_core.errors import ParamsError
from ddpm_core.pseudo_classes import classes_to_ask_for
from ddpm_core.spec import LABEL, DataSpec

LabelChoice = int | str | None
"""A class by number or name, `none` or None for no label, `cycle` for each class in turn."""

_SHOWN = 20


def conditions_asked(
    asked: LabelChoice | Sequence[LabelChoice], n: int, spec: DataSpec, where: str
) -> dict[str, list[int | None]]:
    """The conditions of n data with these labels, for `Sampler.sample`; none for a model without labels."""
    classes = classes_to_ask_for(spec)
    labels = labels_for(asked, n, classes, where)
    return {LABEL: labels} if classes else {}


def typed(text: str) -> LabelChoice | list[LabelChoice]:
    """A class, or a list of them `3,1,4`, as it is typed after an option."""
    words: list[LabelChoice] = [word.strip() for word in text.split(",")]
    return words[0] if len(words) == 1 else words


def labels_for(
    asked: LabelChoice | Sequence[LabelChoice], n: int, classes: Sequence[str], where: str
) -> list[int | None]:
    """One label for each of n data, a list in turn. `classes` is empty for a model without labels."""
    if not classes:
        alone = [asked] if isinstance(asked, int | str | None) else list(asked)
        for item in alone:
            if item != "cycle":
                label_of(item, classes, where)
        return [None] * n
    if asked == "cycle":
        return [i % len(classes) for i in range(n)]
    items = [asked] if isinstance(asked, int | str | None) else list(asked)
    if not items:
        raise ParamsError(f"{where}: must name one class or more, got an empty list")
    labels = [label_of(item, classes, where) for item in items]
    return [labels[i % len(labels)] for i in range(n)]


def label_of(asked: LabelChoice, classes: Sequence[str], where: str) -> int | None:
    """The label of one class. A text is looked up as a name first, then read as a number."""
    if asked is None or asked == "none":
        return None
    if not classes:
        raise ParamsError(f"{where}: this model was trained without labels, got {_short(asked)}; leave {where} out")
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


def _short(value: LabelChoice) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
