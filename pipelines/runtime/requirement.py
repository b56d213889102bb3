"""A requirement of an installation: how it is looked for, and how what is missing is mended."""

from collections.abc import Callable
from dataclasses import dataclass


class Missing(Exception):
    """What a check did not find."""


class NotHere(Exception):
    """Why a check does not apply to this installation."""


@dataclass(frozen=True)
class Check:
    """A check of one requirement: `look` describes what it finds, or raises Missing."""

    name: str
    look: Callable[[], str]
    mend: str
