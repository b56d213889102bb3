"""Classes by name or number, as a person writes them, to the label and the attributes that the network is told."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from ddpm_core.errors import ParamsError
from ddpm_core.pseudo_classes import classes_to_ask_for
from ddpm_core.spec import LABEL, DataSpec

LabelChoice = int | str | None
"""A class by number or name, `none` or None for no label, `cycle` for each class in turn."""
Attributes = Mapping[str, LabelChoice | Sequence[LabelChoice]]
"""What is asked of attributes, by name; what is left out is not told."""

_SHOWN = 20
_MOST_DIGITS = 18  # of a class by number; Python refuses to read thousands of them


def conditions_asked(
    asked: LabelChoice | Sequence[LabelChoice],
    n: int,
    spec: DataSpec,
    where: str,
    attributes: Attributes | None = None,
    named: str = "attributes.{}",
) -> dict[str, list[int | None]]:
    """The conditions of n data with these labels and attributes, for `Sampler.sample`; no label for a model without.

    Where several are asked to `cycle`, each combination comes in turn, the label first. An error names `where` and, of
    an attribute, `named`.
    """
    own = classes_to_ask_for(spec)
    labels = labels_for(asked, n, own, where)
    told = {LABEL: labels} if own else {}
    turn = len(own) if own and asked == "cycle" else 1
    for name, choice in (attributes or {}).items():
        if name not in spec.attributes:
            known = ", ".join(spec.attributes) or "none"
            raise ParamsError(f"{named.format(name)}: must be an attribute that this model is told ({known})")
        classes = spec.attributes[name].classes
        if choice == "cycle":
            told[name] = [i // turn % len(classes) for i in range(n)]
            turn *= len(classes)
        else:
            told[name] = labels_for(choice, n, classes, named.format(name))
    return told


def attribute_column(name: str) -> str:
    """The column of an attribute in the rows of the registered model, where its bare name may be taken."""
    return f"attribute_{name}"


def attributes_typed(texts: Sequence[str]) -> dict[str, LabelChoice | Sequence[LabelChoice]]:
    """Attributes as they are typed after --attribute: `colour=red`, or `colour=red,blue` in turn."""
    found: dict[str, LabelChoice | Sequence[LabelChoice]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or name.strip() in found:
            raise ParamsError(f"--attribute: must be NAME=CLASS, each name once, got {text!r}")
        found[name.strip()] = typed(value)
    return found


def prompted(text: str, spec: DataSpec) -> tuple[LabelChoice | list[LabelChoice], Attributes]:
    """A prompt as what is asked: `dog`, `cat, dog`, and with attributes `dog; colour=red; size=2, cat; colour=blue`."""
    if not spec.attributes:
        return typed(text), {}
    items = [_item(item, spec) for item in text.split(",")]
    names = dict.fromkeys(name for item in items for name in item)
    asked = {name: [item.get(name, "none") for item in items] for name in names}
    if len(items) == 1:
        return items[0].get(LABEL, "none"), {name: of for name, of in items[0].items() if name != LABEL}
    return list(asked.pop(LABEL, ["none"] * len(items))), asked


def _item(text: str, spec: DataSpec) -> dict[str, str]:
    """The label and the attributes of one picture in a prompt."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = (word.strip() for word in part.partition("="))
        key, asked = (name, value) if equals and name in spec.attributes else (LABEL, part.strip())
        if key in found:
            raise ParamsError(f"prompt: must name each {key} once for a picture, got {text.strip()[:60]!r}")
        found[key] = asked
    return found


def said(cond: Mapping[str, Sequence[int | None]], i: int, spec: DataSpec) -> str:
    """What datum i was told, as a prompt says it."""
    label = cond[LABEL][i] if LABEL in cond else None
    words = ["none" if label is None else spec.classes[label]]
    for name, of in spec.attributes.items():
        value = cond[name][i] if name in cond else None
        words += [] if value is None else [f"{name}={of.classes[value]}"]
    return "; ".join(words)


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
    numeric = isinstance(asked, int) or (len(asked) <= _MOST_DIGITS and asked.isascii() and asked.isdecimal())
    number = int(asked) if numeric else -1
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
