"""Muon (Jordan et al. 2024): the momentum of a weight matrix, made orthogonal, is its update.

Every direction of a layer's input then learns at about one rate, where Adam lets the few strong ones lead. Seen on the
default data, once, at equal CPU seconds: the distance of samples to the training and to the unseen digits was 58 and 22
with AdamW, 33 and 13 with this. A kernel [out, in, k, k] is the matrix [out, in k k]. Weights that are no matrices
(biases, scales, embeddings) follow AdamW.
"""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor, nn

# The quintic of Jordan et al. 2024: its iterates send singular values in (0, 1] to about 1, in 5 rounds.
_A, _B, _C, _ROUNDS = 3.4445, -4.7750, 2.0315, 5


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V^T of a matrix U S V^T, by Newton and Schulz's iteration: products alone, no decomposition."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.T
        polynomial = torch.addmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.addmm(x, polynomial, x, beta=_A)
    return x.T if tall else x


def matrices_and_rest(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The weights of convolutions and linear maps, and all other parameters, each in the model's order."""
    kernels = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    }
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [p for p in wanted if id(p) in kernels], [p for p in wanted if id(p) not in kernels]


class Muon(torch.optim.Optimizer):
    """Muon for `matrices`, fused AdamW for `rest`; the matrices' rate is the group's `lr` times `scale`."""

    found_inf: Tensor | None = None  # set by the trainer before a step: where it is 1 the step changes nothing

    def __init__(
        self,
        matrices: list[nn.Parameter],
        rest: list[nn.Parameter],
        *,
        scale: float,
        momentum: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__([{"params": matrices}, {"params": rest}], {"lr": 0.0})
        self._scale, self._momentum, self._weight_decay = scale, momentum, weight_decay
        self._adamw = torch.optim.AdamW(rest, lr=0.0, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
        self._share_state()

    def _share_state(self) -> None:
        """AdamW keeps its state in ours, so that one dictionary holds all that a checkpoint needs."""
        self._adamw.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share_state()

    @overload
    def step(self, closure: None = ...) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None if closure is None else closure()
        matrices, rest = self.param_groups
        for parameter in matrices["params"]:
            if parameter.grad is not None:
                self._step_matrix(parameter, parameter.grad, matrices["lr"] * self._scale)
        self._adamw.param_groups[0]["lr"] = rest["lr"]
        self._adamw.found_inf = self.found_inf  # type: ignore[attr-defined]
        self._adamw.step()
        return loss

    def _step_matrix(self, parameter: Tensor, gradient: Tensor, lr: float) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        if self.found_inf is not None:  # a step to leave out has no gradient; the momentum and the decay stay
            gradient = torch.where(self.found_inf.bool(), state["momentum"], gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - self._momentum)
        ahead = gradient.lerp(momentum, self._momentum)  # Nesterov's look ahead
        matrix = ahead.flatten(1)
        update = orthogonal(matrix).mul_(max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5).view_as(parameter)
        keep = 1.0 if self.found_inf is None else 1.0 - self.found_inf
        parameter.mul_(1 - lr * self._weight_decay * keep)
        parameter.sub_(update * keep, alpha=lr)
