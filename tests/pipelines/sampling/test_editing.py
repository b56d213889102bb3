"""An edit gives the same data in batches of any size, and tells its steps as sampling does."""

from typing import Any

import numpy as np
import pytest

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor

DATUM = np.random.default_rng(2).integers(0, 256, (1, 8, 8), dtype=np.uint8)
KEEP = np.arange(64).reshape(8, 8) % 2 > 0
SEEDS = [4, 9, 2, 7, 5]


@pytest.mark.parametrize("filled", [True, False])
def test_batches_change_no_byte_of_an_edit(sampler: Sampler, filled: bool) -> None:
    editor = Editor(sampler, sampler.recipe("ancestral", 6), 5, {"label": [0, 1, 2, None, 1]})
    edit = editor.inpainting(DATUM, KEEP, 2) if filled else editor.variation(DATUM, 0.7)
    whole, rows = editor.run(edit, SEEDS), len(edit.recipe.plan)
    assert len(np.unique(whole.reshape(5, -1), axis=0)) == 5
    for size in (1, 2, 5):
        told: list[tuple[int, int]] = []
        seen: list[Any] = []
        found = editor.run(
            edit,
            SEEDS,
            batch_size=size,
            on_step=lambda done, total, told=told: told.append((done, total)),
            watch=lambda row, x, D, seen=seen: seen.append((row, len(x), len(D))),
        )
        np.testing.assert_array_equal(found, whole)
        sizes = [len(SEEDS[first : first + size]) for first in range(0, 5, size)]
        assert told == [(i + 1, rows * len(sizes)) for i in range(rows * len(sizes))]
        assert seen == [(row, n, n) for n in sizes for row in range(rows)]
    np.testing.assert_array_equal(edit.with_kept(whole), whole)
    if filled:
        assert (whole[:, 0][:, KEEP] == DATUM[0][KEEP]).all()
