"""Find a network's weights in its exported graph, and read them from it.

An exporter renames and reshapes some weights (the scale of a normalisation becomes `val_70`, [32, 1, 1]). So the export
searches every weight by its bytes, and one key of the graph's metadata maps each weight to a tensor of the graph or to
a constant; of one that the exporter has computed with, and so is not in the graph, it holds the bytes. Runtimes ignore
the key.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

KEY = "ddpm.weights"


def tell_places(model: Any, weights: Mapping[str, Tensor]) -> None:
    """Write into a graph where each weight is, bit for bit."""
    names: dict[bytes, list[str]] = {}
    for tensor in model.graph.initializer:
        names.setdefault(numpy_helper.to_array(tensor).tobytes(), []).append(tensor.name)
    places: dict[str, list[Any]] = {}
    for name, weight in weights.items():
        array = weight.detach().cpu().numpy()
        same = names.get(array.tobytes())
        if same:
            places[name] = [min(same), list(array.shape)]
        elif array.size and (array == array.flat[0]).all():  # the exporter drops factors of 1 and sums with 0
            places[name] = [float(array.flat[0]), list(array.shape)]
        else:
            places[name] = [{str(array.dtype): base64.b64encode(array.tobytes()).decode()}, list(array.shape)]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(places, sort_keys=True, separators=(",", ":"))


def weights_of(contents: Iterable[bytes]) -> dict[str, Tensor] | None:
    """The weights of a bundle's graphs by their names in the network; None if the metadata of one do not map them."""
    found = [weights_in(content) for content in contents]
    told = [each for each in found if each is not None]
    return {name: weight for each in told for name, weight in each.items()} if len(told) == len(found) else None


def weights_in(content: bytes) -> dict[str, Tensor] | None:
    """The weights of one graph by their names in the network; None if its metadata do not map them."""
    model = onnx.load_model_from_string(content)
    said = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not said:
        return None
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def taken(place: str | float | dict[str, str], shape: list[int]) -> Tensor:
        if isinstance(place, dict):
            [(dtype, text)] = place.items()
            return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy())
        if not isinstance(place, str):
            return torch.full(shape, place)
        return torch.from_numpy(numpy_helper.to_array(tensors[place]).copy()).reshape(shape)

    return {name: taken(*value) for name, value in json.loads(said[0]).items()}
