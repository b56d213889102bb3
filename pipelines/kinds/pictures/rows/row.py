"""A row of the manifest of pictures."""

from dataclasses import dataclass

from pipelines.kinds.manifest import Row


@dataclass(frozen=True, kw_only=True)
class PictureRow(Row):
    """One picture."""

    width: int
    height: int
    mode: str
    mean: float  # of the levels 0 to 255, as are the next three
    std: float
    min: int
    max: int
    found_width: int  # as its source had it, upright
    found_height: int
    group: str  # of near duplicates, the start of a digest; empty for a picture that has none
