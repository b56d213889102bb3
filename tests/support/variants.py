"""A tiny bundle with a variant beside it."""

from pathlib import Path

from ddpm_core.bundle.format import Bundle
from pipelines.variants.index import Index, Judged, folder_of, machine
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec


def with_variant(
    folder: Path, outcome: str = "pass", ms: float = 1.0, where: str | None = None
) -> tuple[Bundle, Bundle]:
    """A bundle in folder/bundle and its variant, another network, of so many ms beside 2."""
    first = tiny_bundle(folder / "bundle")
    other = tiny_bundle(folder_of(folder / "bundle") / "int8", model=tiny_graph(tiny_spec(), seed=1))
    times = {"fp32": {"1": 2.0, "16": 2.0}, "int8": {"1": ms, "16": 3.0}}
    judged = {"int8": Judged(other.digest, outcome, "because", 0.02)}
    Index(first.digest, machine() if where is None else where, times, judged).write(folder / "bundle")
    return first, other
