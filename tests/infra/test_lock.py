"""The locks install with pip too, which in hash mode takes no extra that is not pinned by its own name."""

import re
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.imports import ROOT


def test_the_lock_names_the_extras_that_its_packages_ask_for() -> None:
    text = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    pinned = [Requirement(line) for line in re.findall(r"^[a-zA-Z0-9].*?(?= \\$)", text, re.MULTILINE)]
    extras = {canonicalize_name(each.name): set(each.extras) for each in pinned}
    asked = dict[tuple[str, str], str]()
    for each in pinned:
        for wanted in wants(each):
            asked |= {(canonicalize_name(wanted.name), extra): each.name for extra in wanted.extras}
    assert asked  # else nothing is installed, or nothing was read
    missing = {key: by for key, by in asked.items() if key[1] not in extras[key[0]]}
    assert not missing, f"{missing}: run `make lock`"


def wants(pinned: Requirement) -> list[Requirement]:
    """What an installed package needs here, with the extras that it is pinned with."""
    try:
        lines = requires(pinned.name) or []
    except PackageNotFoundError:  # of another platform
        return []
    named = ["", *pinned.extras]
    found = map(Requirement, lines)
    return [
        each for each in found if each.marker is None or any(each.marker.evaluate({"extra": name}) for name in named)
    ]
