"""A network's weights in the graph that it was exported to: where each lies, and how to take them out again.

An exporter renames and reshapes some of them (the scale of a normalisation becomes `val_70`, [32, 1, 1]). So when a
graph is made every weight is looked for by its bytes, and the graph says under one key of its metadata which of its
tensors, or which number throughout, is which weight. Runtimes do not look at it.
"""

import json
from collections.abc import Mapping
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

KEY = "ddpm.weights"


def tell_places(model: Any, weights: Mapping[str, Tensor]) -> bool:
    """Write into a graph where each weight lies in it, bit for bit; nothing, where one cannot be found."""
    names: dict[bytes, list[str]] = {}
    for tensor in model.graph.initializer:
        names.setdefault(numpy_helper.to_array(tensor).tobytes(), []).append(tensor.name)
    places: dict[str, list[Any]] = {}
    for name, weight in weights.items():
        array = weight.detach().cpu().numpy()
        same = names.get(array.tobytes())
        if same:
            places[name] = [min(same), list(array.shape)]
        elif array.size and (array == array.flat[0]).all():  # the exporter leaves out factors of 1 and sums with 0
            places[name] = [float(array.flat[0]), list(array.shape)]
        else:
            return False
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(places, sort_keys=True, separators=(",", ":"))
    return True


def weights_in(content: bytes) -> dict[str, Tensor] | None:
    """The weights of model.onnx by the names they have in the network; None where it does not say which they are."""
    model = onnx.load_model_from_string(content)
    said = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not said:
        return None
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def taken(place: str | float, shape: list[int]) -> Tensor:
        if not isinstance(place, str):
            return torch.full(shape, place)
        return torch.from_numpy(numpy_helper.to_array(tensors[place]).copy()).reshape(shape)

    return {name: taken(*value) for name, value in json.loads(said[0]).items()}
