"""Stage reference: make from the real data what samples are compared with."""

from typing import TYPE_CHECKING

from ddpm_core.device import make_repeatable, pick_device
from ddpm_core.errors import DataError
from ddpm_core.files import atomic_folder
from pipelines.evaluation.reference import RealData, write_reference
from pipelines.kinds import kind_of
from pipelines.paths import Paths
from pipelines.runtime.threads import in_use
from pipelines.shards.archive import read_index, read_split

if TYPE_CHECKING:
    from pipelines.params import Params
    from pipelines.tracking.tracker import Tracker


def run(params: "Params", paths: Paths, tracker: "Tracker") -> None:
    """Let the kind of data look at both splits; write out/reference."""
    threads = in_use(params.runtime.threads)
    make_repeatable(threads)
    device = pick_device(params.runtime.device)
    index = read_index(paths.shards)
    splits = {name: read_split(paths.shards, name) for name in ("train", "test")}
    for name, split in splits.items():
        if len(split) < 2:
            raise DataError(
                f"a reference takes at least 2 examples of each split, {name} has {len(split)}; give more data or "
                "another split.test_fraction"
            )
    real = RealData(**splits, spec=index.spec, config=params.reference, root=paths.root, device=device)
    about, files = kind_of(index.spec.kind).make_reference(real)
    counts = {name: len(split) for name, split in splits.items()}
    with atomic_folder(paths.reference) as folder:
        write_reference(folder, {**about, "data": index.digest, "counts": counts, "threads": threads}, files)
