"""A model repository for Triton Inference Server: a folder for each model, with its graph and a config.pbtxt.

The graph of the sampler comes from `pipelines.sampling.one_graph`; nothing here needs onnx or protobuf.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ddpm_core.bundle.format import OUTPUT, Bundle
from ddpm_core.files import atomic_write_bytes
from ddpm_core.procedure import MODEL_FILE
from pipelines.sampling.recipe import Recipe
from pipelines.serving.inference_protocol.models import NETWORK
from pipelines.serving.inference_protocol.tensors import DATATYPES, Tensor

_VERSION = "1"


@dataclass(frozen=True)
class TritonModel:
    """A model of a repository. `most` is the largest batch that Triton may put together; 0: it may put together none.

    `about` is a line of comment.
    """

    name: str
    graph: bytes
    inputs: tuple[Tensor, ...]
    output: Tensor
    most: int
    about: str

    def config(self) -> str:
        """The text of config.pbtxt, a `ModelConfig` of Triton's model_config.proto."""
        parts = [
            f"# {self.about}\n",
            f'name: "{self.name}"\n',
            'backend: "onnxruntime"\n',
            f"max_batch_size: {self.most}\n",
            *(f"input {self._tensor(tensor)}" for tensor in self.inputs),
            f"output {self._tensor(self.output)}",
        ]
        return "".join([*parts, "dynamic_batching { }\n"] if self.most else parts)

    def _tensor(self, tensor: Tensor) -> str:
        """An input or output. Triton takes no empty shape: one number of each datum comes as [n, 1]."""
        batched = bool(self.most)
        dims = [-1, *tensor.shape] if tensor.each_datum and not batched else list(tensor.shape)
        lines = [f'name: "{tensor.name}"', f"data_type: TYPE_{tensor.datatype}", f"dims: {dims or [1]}"]
        return "".join(["{\n", *(f"  {line}\n" for line in lines), "" if dims else "  reshape { shape: [] }\n", "}\n"])


def triton_models(
    bundle: Bundle, recipe: Recipe, sampler_graph: bytes, name: str, most: int
) -> tuple[TritonModel, TritonModel]:
    """The sampler under a name, and behind it the network under NAME.network, as `ddpm serve` names them.

    A plan that draws noise after x_T takes it as [rows, n, ...]. As n is not its first axis, Triton can put no batch
    together for such a sampler; a request may still be of any number of data.
    """
    spec, plan = bundle.spec, recipe.plan
    told = tuple(
        Tensor(name, DATATYPES[condition.dtype], condition.shape) for name, condition in spec.conditions.items()
    )
    x_T = Tensor("x_T", "FP32", spec.shape)
    rows = len(plan.rows(bundle.parameterisation))
    noise = (Tensor("noise", "FP32", (rows, -1, *spec.shape), each_datum=False),) if plan.needs_noise else ()
    about = f"bundle {bundle.digest}"
    sampler = TritonModel(
        name,
        sampler_graph,
        (x_T, *told, *noise),
        Tensor("samples", DATATYPES[spec.dtype], spec.shape),
        0 if plan.needs_noise else most,
        f"{about}, sampler {plan.kind}, steps {recipe.sampler.steps}, guidance {recipe.guidance.weight:g}",
    )
    graph = bundle.graphs[MODEL_FILE]
    inputs = tuple(Tensor(name, DATATYPES[each.dtype], each.shape) for name, each in graph.inputs.items())
    output = Tensor(OUTPUT, "FP32", graph.out)
    return sampler, TritonModel(f"{name}{NETWORK}", bundle.model, inputs, output, most, f"{about}, its network")


def write_repository(folder: Path, models: Iterable[TritonModel]) -> None:
    """Write each model; its config comes last, so that a model is never described before it is there."""
    for model in models:
        atomic_write_bytes(folder / model.name / _VERSION / MODEL_FILE, model.graph)
        atomic_write_bytes(folder / model.name / "config.pbtxt", model.config().encode())
