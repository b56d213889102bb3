"""The sides of benchmarks/time_to_quality.py: our training as stage train does it, and two peers' recipes.

Model, loss, optimiser, learning rate and average of a peer are its own code; only the pictures come from an array in
memory, which costs next to nothing. A side is trained by `step`, seen through `average`, kept by `save` and `load`.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.schedule import Schedule


class Side:
    """A training that can be taken up again; `average` is the network that is judged."""

    parameterisation: Parameterisation
    conditional = False
    padding = 0  # pixels around a picture, which the network needs and which are cut off
    sampled_in = torch.float32
    ended = False
    updates = 0

    def step(self) -> int:
        """One update; the pictures it took."""
        raise NotImplementedError

    @property
    def average(self) -> nn.Module:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> None:
        raise NotImplementedError


# ------------------------------------------------------------------------------------------------------- ours


class Ours(Side):
    """Stage train on one thread with the params of a project, some of them or whole sections changed."""

    def __init__(self, project: Path, folder: Path, changes: dict[str, Any]) -> None:
        from ddpm_core.training.checkpoint import Checkpoints
        from ddpm_core.training.distributed import ALONE
        from pipelines.params import load_params
        from pipelines.paths import Paths
        from pipelines.training.setup import TrainingSetup

        paths = Paths.of(project)
        params = load_params(paths.params)
        params = replace(params, runtime=replace(params.runtime, threads=1))
        for section, values in changes.items():
            whole = replace(getattr(params, section), **values) if isinstance(values, dict) else values
            params = replace(params, **{section: whole})
        setup = TrainingSetup.of(params, paths, ALONE)
        self.parameterisation = params.diffusion.parameterisation()
        self.conditional, self._size = bool(setup.spec.conditions), params.train.batch_size
        self._trainer = setup.trainer(Checkpoints(folder / "checkpoints", 1), lambda: False)
        self._run = self._trainer.run()

    def step(self) -> int:
        next(self._run)
        self.updates = self._trainer.step
        self.ended = self.updates == self._trainer.config.steps
        return self._size

    @property
    def average(self) -> nn.Module:
        return self._trainer.ema.model

    def save(self, folder: Path) -> None:
        self._trainer.save()

    def load(self, folder: Path) -> None:
        self._trainer.resume()
        self.updates = self._trainer.step


# ------------------------------------------------------------------------------------------------------ peers


@dataclass(frozen=True)
class Recipe:
    """How a peer is trained; by default as its own example says."""

    batch_size: int
    lr: float
    network: dict[str, Any]
    padding: int = 2
    bf16: bool = True
    process: dict[str, Any] = field(default_factory=dict)
    warmup: int = 500
    steps: int = 24_900  # over which the rate falls: 100 epochs of 249 batches
    betas: tuple[float, float] = (0.95, 0.999)
    weight_decay: float = 1e-6
    parts: int = 1
    sampled_in: torch.dtype = torch.float32


class Peer(Side):
    """What the two peers share: pictures from memory, random numbers of its own, torch's checkpoint."""

    recipe: Recipe
    kept: dict[str, Any]

    def __init__(self, recipe: Recipe, images: np.ndarray) -> None:
        self.recipe, self.padding, self.sampled_in = recipe, recipe.padding, recipe.sampled_in
        x0 = torch.from_numpy(images.astype(np.float32) / 255.0)
        self._data = F.pad(x0, (self.padding,) * 4)
        self._random = torch.Generator().manual_seed(1)
        self._batches = self._epochs()

    def _epochs(self) -> Iterator[Tensor]:
        size = self.recipe.batch_size
        while True:
            order = torch.randperm(len(self._data), generator=self._random)
            yield from (self._data[order[i : i + size]] for i in range(0, len(order) - size + 1, size))

    def _autocast(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bf16)

    def save(self, folder: Path) -> None:
        state = {name: part.state_dict() for name, part in self.kept.items()}
        torch.save({**state, "updates": self.updates, "torch_rng": torch.get_rng_state()}, folder / "peer.pt")

    def load(self, folder: Path) -> None:
        state = torch.load(folder / "peer.pt", weights_only=True)
        for name, part in self.kept.items():
            part.load_state_dict(state[name])
        self.updates = state["updates"]
        torch.set_rng_state(state["torch_rng"])
        self._random.manual_seed(1 + self.updates)  # the epoch begins anew


class Diffusers(Peer):
    """examples/unconditional_image_generation/train_unconditional.py."""

    def __init__(self, recipe: Recipe, images: np.ndarray) -> None:
        from diffusers import DDPMScheduler, UNet2DModel
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        super().__init__(recipe, images)
        self.unet = UNet2DModel(**recipe.network)
        self._noise = DDPMScheduler(num_train_timesteps=1000, **recipe.process)
        self._optimiser = torch.optim.AdamW(
            self.unet.parameters(), lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, eps=1e-8
        )
        self._rate = get_scheduler(
            "cosine", self._optimiser, num_warmup_steps=recipe.warmup, num_training_steps=recipe.steps
        )
        self._ema = EMAModel(self.unet.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self._copy = deepcopy(self.unet).eval()
        self.kept = {"unet": self.unet, "optimiser": self._optimiser, "rate": self._rate, "ema": self._ema}
        target: Target = "v" if self._noise.config.prediction_type == "v_prediction" else "eps"
        self._target = target
        self.parameterisation = Parameterisation(target, schedule_of(self._noise.alphas_cumprod))

    def step(self) -> int:
        self.unet.train()
        clean = next(self._batches) * 2 - 1
        noise = torch.randn(clean.shape)
        t = torch.randint(0, 1000, (len(clean),)).long()
        noisy = self._noise.add_noise(clean, noise, t)
        with self._autocast():
            out = self.unet(noisy, t).sample
        target = noise if self._target == "eps" else self._noise.get_velocity(clean, noise, t)
        F.mse_loss(out.float(), target).backward()
        nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self._optimiser.step()
        self._rate.step()
        self._optimiser.zero_grad()
        self._ema.step(self.unet.parameters())
        self.updates += 1
        self.ended = self.updates >= self.recipe.steps
        return len(clean)

    @property
    def average(self) -> nn.Module:
        self._ema.copy_to(self._copy.parameters())
        return Answer(self._copy)


class Answer(nn.Module):
    """A network of diffusers that answers with a tensor."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.unet(x, time).sample
        return out


class DenoisingDiffusion(Peer):
    """Trainer of denoising-diffusion-pytorch, step by step as its method train does."""

    def __init__(self, recipe: Recipe, images: np.ndarray) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from ema_pytorch import EMA

        super().__init__(recipe, images)
        side = self._data.shape[-1]
        unet = Unet(channels=self._data.shape[1], flash_attn=False, **recipe.network)
        self._diffusion = GaussianDiffusion(
            unet, image_size=side, timesteps=1000, sampling_timesteps=250, **recipe.process
        )
        self._optimiser = torch.optim.Adam(self._diffusion.parameters(), lr=recipe.lr, betas=recipe.betas)
        self._ema = EMA(self._diffusion, beta=0.995, update_every=10)
        self.kept = {"diffusion": self._diffusion, "optimiser": self._optimiser, "ema": self._ema}
        if self._diffusion.objective != "pred_v":
            raise ValueError(f"only pred_v is judged here, got {self._diffusion.objective}")
        self.parameterisation = Parameterisation("v", schedule_of(self._diffusion.alphas_cumprod))

    def step(self) -> int:
        self._diffusion.train()
        self._optimiser.param_groups[0]["lr"] = self._rate()
        for _ in range(self.recipe.parts):
            with self._autocast():
                loss = self._diffusion(next(self._batches)) / self.recipe.parts
            loss.backward()
        nn.utils.clip_grad_norm_(self._diffusion.parameters(), 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._ema.update()
        self.updates += 1
        self.ended = self.updates >= self.recipe.steps
        return self.recipe.parts * self.recipe.batch_size

    def _rate(self) -> float:
        """Constant as in its Trainer, or, where a warm-up is given, falling as ours does."""
        recipe = self.recipe
        if recipe.warmup == 0:
            return recipe.lr
        way = max(0.0, (self.updates - recipe.warmup) / (recipe.steps - recipe.warmup))
        return recipe.lr * min(1.0, (self.updates + 1) / recipe.warmup) * float(0.5 * (1 + np.cos(np.pi * way)))

    @property
    def average(self) -> nn.Module:
        return self._ema.ema_model.model.eval()


def schedule_of(alphas_cumprod: Tensor) -> Schedule:
    """A peer's own table; its levels are numbered from 0, ours from 1 with the clean picture at 0."""
    alpha_bar = np.concatenate([[1.0], alphas_cumprod.double().numpy()])
    return Schedule(np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar), np.arange(len(alpha_bar)) - 1.0, "vp")
