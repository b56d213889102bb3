"""The specification of one datum: its shape, range, levels and conditions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.scaling import Scaling

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


LABEL = "label"  # the name of the condition with a datum's class


@dataclass(frozen=True)
class Condition:
    """An input of the network besides the datum: an array of this shape, named in the DataSpec.

    `classes` names the values where they are classes. `null` is the value for "not told"; None: it must be told.
    """

    shape: tuple[int, ...]
    dtype: Literal["int64", "float32"]
    classes: tuple[str, ...]
    null: int | float | None

    def __post_init__(self) -> None:
        if self.dtype not in ("int64", "float32"):
            raise DataError(f"Condition.dtype: must be int64 or float32, got {self.dtype!r}")
        if self.classes and (self.shape or self.dtype != "int64"):
            raise DataError(
                f"Condition.classes: a class is one int64 per datum, got {self.dtype} of the shape {self.shape}"
            )

    @classmethod
    def of_classes(cls, names: Iterable[str]) -> "Condition":
        """One class a datum; the number of classes stands for none."""
        classes = tuple(names)
        return cls((), "int64", classes, len(classes))

    def to_dict(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": self.dtype, "classes": list(self.classes), "null": self.null}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Condition":
        return cls(tuple(value["shape"]), value["dtype"], tuple(value["classes"]), value["null"])

    def values(self, name: str, given: Any, n: int) -> NDArray[Any]:
        """The values for n data, [n, *shape]; in a list None is "not told". ParamsError if they do not fit."""
        items = list(given) if isinstance(given, Sequence) else given
        if isinstance(items, list) and any(item is None for item in items):
            if self.null is None:
                raise ParamsError(f"{name}: must be told for every datum, got None")
            items = [np.full(self.shape, self.null) if item is None else item for item in items]
        found = np.asarray(items) if n else np.zeros((0, *self.shape), self.dtype)
        if found.shape != (n, *self.shape) or not np.can_cast(found.dtype, self.dtype, "same_kind"):
            raise ParamsError(
                f"{name}: must be {self.dtype} of shape {(n, *self.shape)}, got {found.dtype} of {found.shape}"
            )
        found = found.astype(self.dtype)
        if self.classes and (wrong := sorted({int(v) for v in found[(found < 0) | (found > len(self.classes))]})):
            raise ParamsError(f"{name}: must be from 0 to {len(self.classes) - 1}, or None, got {wrong[:5]}")
        return found


@dataclass(frozen=True)
class DataSpec:
    """What the network sees, and what it is told beside it, by name.

    Data with `levels` are kept as whole numbers from 0 to levels - 1 and shown to the network in `range`. Data without
    are kept as float32 and shown scaled by `scaling`, or as they are. `kind` names the kind of data for the pipeline.
    `masked` data may lack values: beside each datum it is known which of them there are. `about` holds what else the
    kind wants to know of the data wherever its models go, as JSON can write it.
    """

    shape: tuple[int, ...]
    range: tuple[float, float] | None
    levels: int | None
    conditions: Mapping[str, Condition]
    scaling: Scaling | None = None
    kind: str = "pictures"
    masked: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.shape or any(side < 1 for side in self.shape):
            raise DataError(f"DataSpec.shape: every side must be at least 1, got {self.shape}")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise DataError(f"DataSpec.range: must be two finite numbers that rise, got {self.range}")
        if self.levels is not None and (self.levels < 2 or self.range is None):
            raise DataError(
                f"DataSpec.levels: needs at least 2 levels and a range, got levels={self.levels}, range={self.range}"
            )

        if self.scaling is not None and len(self.scaling.of_class) not in (0, len(self.classes)):
            raise DataError(
                f"DataSpec.scaling: needs one for each of {len(self.classes)} classes, or none, got "
                f"{len(self.scaling.of_class)}"
            )
        if self.scaling is not None and (self.levels is not None or len(self.scaling.mean) != self.shape[0]):
            raise DataError(
                f"DataSpec.scaling: needs data without levels and {self.shape[0]} means, got levels={self.levels} and "
                f"{len(self.scaling.mean)} means"
            )

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def dtype(self) -> str:
        """What the data are kept as."""
        return "float32" if self.levels is None else "uint8"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of the condition `label`; empty without this condition."""
        return self.conditions[LABEL].classes if LABEL in self.conditions else ()

    @property
    def attributes(self) -> dict[str, Condition]:
        """The conditions that are classes besides the label: a colour, say."""
        return {name: condition for name, condition in self.conditions.items() if condition.classes and name != LABEL}

    @property
    def null(self) -> dict[str, int | float]:
        """The null value ("not told") of each condition that has one."""
        return {name: condition.null for name, condition in self.conditions.items() if condition.null is not None}

    def told(self, names: Iterable[str]) -> "DataSpec":
        """The same data with these conditions alone."""
        return replace(self, conditions={name: self.conditions[name] for name in names})

    def conditions_for(self, given: Mapping[str, Any], n: int) -> dict[str, NDArray[Any]]:
        """The conditions of n data as a network of this spec is told them; what is not given is "not told"."""
        if unknown := sorted(set(given) - set(self.conditions)):
            known = ", ".join(self.conditions) or "nothing"
            raise ParamsError(f"{unknown[0]}: this model was trained without it; it is told {known}; leave it out")
        return {name: of.values(name, given.get(name, [None] * n), n) for name, of in self.conditions.items()}

    @property
    def top(self) -> int:
        """The highest level of a picture's values."""
        return self._ends()[2]

    @property
    def mode(self) -> str:
        """Pillow's name for pictures of so many channels."""
        if len(self.shape) != 3 or self.channels not in _MODES:
            raise DataError(f"a picture has the shape (1 to 4, height, width), got {self.shape}")
        return _MODES[self.channels]

    def encode(self, data: NDArray[Any], labels: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Data as they are kept to what the network sees; levels k to x = 2 k / (levels - 1) - 1 in (-1, 1).

        `labels`, the condition of each datum [n, ...], count where each class has a scaling of its own.
        """
        if self.levels is None:
            shift, scale = self._affine(labels)
            return ((np.asarray(data, dtype=np.float64) - shift) / scale).astype(np.float32)
        low, high, top = self._ends()
        if not np.issubdtype(data.dtype, np.integer):
            raise DataError(
                f"levels: must be whole numbers from 0 to {top}, got {data.dtype}; data in the range are encoded"
            )
        if data.size and (data.dtype != np.uint8 or top < 255) and not 0 <= int(data.min()) <= int(data.max()) <= top:
            raise DataError(f"levels: must be from 0 to {top}, got {int(data.min())} to {int(data.max())}")
        return (data.astype(np.float32) * np.float32((high - low) / top) + np.float32(low)).astype(np.float32)

    def decode(self, x: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """What the network sees back to data as they are kept; levels by rounding to nearest and clipping."""
        if not np.isfinite(x).all():
            raise DataError("data: must be finite, got values that are not; look at the model's weights")
        if self.levels is None:
            shift, scale = self._affine(labels)
            return (np.asarray(x, dtype=np.float64) * scale + shift).astype(np.float32)
        low, high, top = self._ends()
        k = np.rint((np.asarray(x, dtype=np.float64) - low) * (top / (high - low)))
        return np.clip(k, 0, top).astype(np.uint8)

    def _affine(self, labels: NDArray[np.int64] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation, [shape[0], 1, ...], or with an axis for data before it."""
        scaling = self.scaling or Scaling((0.0,) * self.shape[0], (1.0,) * self.shape[0])
        ends = (1,) * (len(self.shape) - 1)
        mean, std = scaling.affine(labels)
        return mean.reshape(*mean.shape, *ends), std.reshape(*std.shape, *ends)

    def _ends(self) -> tuple[float, float, int]:
        if self.range is None or self.levels is None:
            raise DataError("only data with a range and levels can be encoded as levels; this DataSpec has none")
        if self.levels > 256:
            raise DataError(f"only data of at most 256 levels are kept as bytes, this DataSpec has {self.levels}")
        return self.range[0], self.range[1], self.levels - 1

    def to_dict(self) -> dict[str, Any]:
        return {
            "shape": list(self.shape),
            "range": None if self.range is None else list(self.range),
            "levels": self.levels,
            "conditions": {name: condition.to_dict() for name, condition in self.conditions.items()},
            "scaling": None if self.scaling is None else self.scaling.to_dict(),
            "kind": self.kind,
            **({"masked": True} if self.masked else {}),
            **({"about": dict(self.about)} if self.about else {}),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "DataSpec":
        if "conditions" in value:
            conditions = {name: Condition.from_dict(each) for name, each in value["conditions"].items()}
        else:  # as it was when a label was the only condition there could be
            conditions = {LABEL: Condition.of_classes(value["classes"])} if value["classes"] else {}
        scaling = value.get("scaling")
        return cls(
            shape=tuple(value["shape"]),
            range=None if value["range"] is None else (value["range"][0], value["range"][1]),
            levels=value["levels"],
            conditions=conditions,
            scaling=None if scaling is None else Scaling.from_dict(scaling),
            kind=value.get("kind", "pictures"),  # the only kind there was
            masked=value.get("masked", False),
            about=value.get("about", {}),
        )


def conditions_of(
    spec: DataSpec, labels: NDArray[np.int64], attributes: Mapping[str, NDArray[np.int64]] | None = None
) -> dict[str, NDArray[np.int64]]:
    """The conditions of data with these labels [n] and attributes, -1 for none: as a network of this spec is told them.

    An attribute that is not given is not told.
    """
    given = {LABEL: labels, **(attributes or {})}
    named = [LABEL, *spec.attributes] if LABEL in spec.conditions else list(spec.attributes)
    values = {name: given.get(name, np.full(len(labels), -1, dtype=np.int64)) for name in named}
    return {name: np.where(of < 0, len(spec.conditions[name].classes), of) for name, of in values.items()}


def in_turn(spec: DataSpec, n: int) -> dict[str, NDArray[np.int64]]:
    """Conditions of n data, each combination of classes in turn, the label first: 0 0, 1 0, ..., 0 1, 1 1, ..."""
    turn, told = np.arange(n, dtype=np.int64), {}
    for name in (LABEL, *spec.attributes):
        classes = len(spec.conditions[name].classes) if name in spec.conditions else 1
        told[name] = turn % max(1, classes)
        turn = turn // max(1, classes)
    return conditions_of(spec, told.pop(LABEL), told)


def labels_in(spec: DataSpec, cond: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.int64]:
    """The labels of n data with these conditions, -1 for none: the inverse of `conditions_of`."""
    if LABEL not in cond:
        return np.full(n, -1, dtype=np.int64)
    return np.where(cond[LABEL] == len(spec.classes), -1, cond[LABEL]).astype(np.int64)


def attribute_key(name: str) -> str:
    """What a network calls its part for an attribute; a bare name such as `type` may be one of torch's own."""
    return f"of_{name}"


def attributes_in(spec: DataSpec, cond: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
    """Each attribute that data with these conditions are told, -1 for none."""
    return {
        name: np.where(cond[name] == len(of.classes), -1, cond[name]).astype(np.int64)
        for name, of in spec.attributes.items()
        if name in cond
    }


def labelled(
    shape: tuple[int, ...],
    range: tuple[float, float] | None,
    levels: int | None,
    classes: Iterable[str],
    attributes: Mapping[str, Iterable[str]] | None = None,
) -> DataSpec:
    """Data of which each has one of these classes as its condition `label`, and of each attribute one or none.

    Without classes there is no label.
    """
    named = {LABEL: tuple(classes), **{name: tuple(of) for name, of in (attributes or {}).items()}}
    return DataSpec(shape, range, levels, {name: Condition.of_classes(of) for name, of in named.items() if of})
