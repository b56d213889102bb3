"""A model of another library, in this project's terms."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ddpm_core.diffusion.plan import Bound
from ddpm_core.errors import ParamsError
from ddpm_core.models import NetworkConfig
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import DataSpec, labelled
from pipelines.interchange.tensors import Place, laid_out


@dataclass(frozen=True)
class Imported:
    """Network, process and data of a model, and its weights under our names."""

    network: NetworkConfig
    diffusion: DiffusionConfig
    spec: DataSpec
    bound: Bound
    weights: Mapping[str, Tensor]
    source: Mapping[str, Any]
    """Its layout and the digests of its files."""

    def about(self) -> dict[str, Any]:
        """The metadata of its weights file, as a training writes them; what only a training knows is None."""
        return {
            "spec": self.spec.to_dict(),
            "model": asdict(self.network),
            "diffusion": asdict(self.diffusion),
            "train_digest": None,
            "data_digest": None,
            "steps": None,
            "threads": None,
            "computed": None,
            "averages": [None],
            "imported": dict(self.source),
        }


@dataclass(frozen=True)
class ImportOptions:
    """What the user says of a model beside its files."""

    classes: str | None = None
    size: tuple[int, int] | None = None
    pickle: bool = False


def pictures(channels: int, size: tuple[int, int], classes: tuple[str, ...]) -> DataSpec:
    """Pictures of 256 levels, shown to the network from -1 to 1, as these libraries do."""
    return labelled((channels, *size), (-1.0, 1.0), 256, classes)


def class_names(asked: str | None, rows: int) -> tuple[str, ...]:
    """The names of classes, asked for as `10` or `cat,dog`; else one for each row of the embedding."""
    if rows == 0:
        if asked is not None:
            raise ParamsError(f"--classes: belongs to a model with a class embedding, this one has none; got {asked}")
        return ()
    words = [str(rows)] if asked is None else [word.strip() for word in asked.split(",")]
    names = tuple(map(str, range(int(words[0])))) if len(words) == 1 and words[0].isdecimal() else tuple(words)
    if len(names) not in (rows, rows - 1) or len(set(names)) != len(names) or not all(names):
        raise ParamsError(
            f"--classes: must be {rows} different names, or {rows - 1} where the last row of the class embedding "
            f"stands for no class; got {len(names)}"
        )
    return names


def with_null_row(rows: Tensor, classes: int) -> Tensor:
    """The class embedding with a last row for no class: of zeros where the model has none."""
    return rows if len(rows) == classes + 1 else torch.cat([rows, torch.zeros_like(rows[:1])])


def fitted(
    network: NetworkConfig,
    spec: DataSpec,
    diffusion: DiffusionConfig,
    places: Iterable[Place],
    theirs: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Their tensors under the names of the network built here, each of which must be filled."""
    with torch.device("meta"):
        state = network.build(spec, diffusion.learned_variance).state_dict()
    places = list(places)
    filled = laid_out(places, theirs, {name: tuple(tensor.shape) for name, tensor in state.items()})
    if unfilled := sorted(set(state) - set(filled)):
        raise ParamsError(f"weights: every tensor must be given, {', '.join(unfilled[:5])} is not")
    return filled
