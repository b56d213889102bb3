"""The network of a bundle, run by torch: for large evaluations on a GPU. The service never imports this module."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ddpm_core.bundle.format import Bundle
from ddpm_core.bundle.graph_weights import weights_of
from ddpm_core.device import describe, pick_device, set_precision
from ddpm_core.diffusion.generate import OnStep
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.models import ModelConfig
from ddpm_core.procedure import MODEL_FILE
from ddpm_core.tensors.sampling import sample
from pipelines.parsing import parse_kept

if TYPE_CHECKING:
    from pipelines.sampling.recipe import Recipe

log = logging.getLogger(__name__)

_MEND = "make the bundle again with `ddpm export`, or set evaluate.engine to onnxruntime"


class TorchDenoiser:
    """`net(x, t, cond) -> out` like `OnnxDenoiser`, and `sample`, which stays on the device; float32, no TF32.

    The weights come from the bundle's graph, the network's configuration from its provenance.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 1, gpu: int = 0) -> None:
        if threads < 1:
            raise ParamsError(f"threads: must be at least 1, got {threads}")
        place = pick_device(device)
        set_precision("fp32")  # torch's default is TF32 in convolutions
        self._device = torch.device("cuda", gpu) if place.type == "cuda" else place
        if place.type == "cpu":
            torch.set_num_threads(threads)
        self.device, self.threads = place.type, threads
        self._bundle = bundle
        self._net = network_of(bundle).to(self._device)
        self._asked = self._net.get_submodule(bundle.graphs[MODEL_FILE].part)
        log.info("sampling by torch on %s", describe(self._device))

    def __call__(
        self, x: NDArray[np.float32], t: NDArray[np.float32], cond: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.float32]:
        def there(values: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

        told = {name: there(value) for name, value in cond.items()}
        with torch.inference_mode():
            out: NDArray[np.float32] = self._asked(there(x), there(t), **told).cpu().numpy()
        return out

    def sample(
        self,
        recipe: "Recipe",
        cond: Mapping[str, NDArray[Any]],
        seeds: Sequence[int],
        on_step: OnStep,
    ) -> NDArray[np.float32]:
        """Data [n, *shape] by the noise and the recipe of the numpy path, computed on the device."""
        bundle = self._bundle
        with torch.inference_mode():
            return sample(
                self._net,
                recipe.plan,
                bundle.parameterisation,
                bundle.spec,
                seeds=seeds,
                cond=cond,
                guidance=recipe.guidance.weight,
                interval=recipe.interval,
                rescale=recipe.guidance.rescale,
                device=self._device,
                dtype=torch.float32,
                on_step=on_step,
            )


def network_of(bundle: Bundle) -> nn.Module:
    """The network that a bundle was exported from, with its weights; ParamsError where the bundle lacks either."""
    told, weights = bundle.provenance.get("model"), weights_of(bundle.contents.values())
    if told is None or weights is None:
        lacks = "the network's configuration in its provenance" if told is None else "the places of its weights"
        raise ParamsError(
            f"torch: must be given a bundle that tells its network and which weight is which, but bundle "
            f"{bundle.digest[:16]} lacks {lacks} (an older version made it, or another program); {_MEND}"
        )
    config: ModelConfig = parse_kept(ModelConfig, told, "bundle.json: provenance.model")
    net = config.exported(config.build(bundle.spec, bundle.learned_variance))
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise IntegrityError(
            f"bundle: must hold the weights of the network that bundle.json tells of, but {error}; {_MEND}"
        ) from error
    return net.eval().requires_grad_(False)
