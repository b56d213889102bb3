"""Muon (Jordan et al. 2024): the momentum of a weight matrix, made orthogonal, is its update.

Every direction of a layer's input then learns at about the same rate, where Adam favours a few strong ones. A kernel
[out, in, k, k] is the matrix [out, in k k]. Other weights (biases, scales, embeddings) use AdamW.
"""

from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

# The quintic of Jordan et al. 2024: 5 rounds bring singular values in (0, 1] to about 1.
_A, _B, _C, _ROUNDS = 3.4445, -4.7750, 2.0315, 5


def orthogonal(matrices: Tensor) -> Tensor:
    """About U V^T of each matrix U S V^T, by the Newton-Schulz iteration. [..., m, n] -> the same"""
    x = _lying(matrices)
    x = _factor(x @ x.mT) @ x if _is_long(x) else _rounds(x)
    return x.mT if x.shape != matrices.shape else x


def orthogonal_all(stacks: Sequence[Tensor]) -> list[Tensor]:
    """The same for several stacks; a GPU computes small products of one size together."""
    if not any(stack.is_cuda for stack in stacks):
        return [orthogonal(stack) for stack in stacks]
    return _together(stacks)


def _together(stacks: Sequence[Tensor]) -> list[Tensor]:
    lying = [_lying(stack) for stack in stacks]
    found = {at: _rounds(x) for at, x in enumerate(lying) if not _is_long(x)}
    for size in {x.shape[-2] for x in lying if _is_long(x)}:
        places = [at for at, x in enumerate(lying) if _is_long(x) and x.shape[-2] == size]
        factors = _factor(torch.cat([lying[at] @ lying[at].mT for at in places]))
        parts = torch.split(factors, [len(lying[at]) for at in places])
        found |= {at: factor @ lying[at] for at, factor in zip(places, parts, strict=True)}
    return [found[at].mT if found[at].shape != stack.shape else found[at] for at, stack in enumerate(stacks)]


def _lying(matrices: Tensor) -> Tensor:
    """Scaled to Frobenius norm 1, and transposed if taller than wide."""
    x: Tensor = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    norm: Tensor = torch.linalg.matrix_norm(x, keepdim=True) + 1e-7
    return x / norm


def _is_long(x: Tensor) -> bool:
    return 2 * x.shape[-2] <= x.shape[-1]


def _rounds(x: Tensor) -> Tensor:
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * (gram @ gram)) @ x
    return x


def _factor(gram: Tensor) -> Tensor:
    """For long rows: each round is x <- p(x x^T) x, so all rounds are one factor, a function of x x^T."""
    whole: Tensor = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device).expand_as(gram)
    for _ in range(_ROUNDS):
        factor = _B * gram + _C * (gram @ gram)
        factor.diagonal(dim1=-2, dim2=-1).add_(_A)
        whole = factor @ whole
        gram = factor @ gram @ factor
    return whole


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

    found_inf: Tensor | None = None  # set by the trainer before a step: if it is 1, the step changes nothing

    # `lr` of a group may be a tensor on the device, so that a recorded step (CUDA graph) follows a schedule.

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
        on_gpu = any(parameter.is_cuda for parameter in rest)
        self._adamw = torch.optim.AdamW(
            rest, lr=0.0, betas=betas, eps=eps, weight_decay=weight_decay, fused=True, capturable=on_gpu
        )
        self._share_state()

    def _share_state(self) -> None:
        """AdamW keeps its state in ours, so that one dictionary holds the whole state for a checkpoint."""
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
        alike = _of_one_shape(matrices["params"])
        updates = orthogonal_all([self._ahead(parameters) for parameters in alike])
        for parameters, update in zip(alike, updates, strict=True):
            self._move(parameters, update, matrices["lr"] * self._scale)
        self._adamw.param_groups[0]["lr"] = rest["lr"]
        self._adamw.found_inf = self.found_inf  # type: ignore[attr-defined]
        self._adamw.step()
        return loss

    def _ahead(self, parameters: list[Tensor]) -> Tensor:
        """Update the momentum of parameters of one shape and layout with their gradients; gives Nesterov's momentum."""
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        kept = [self.state[parameter]["momentum"] for parameter in parameters]
        like = parameters[0]
        gradient = _matrices([parameter.grad for parameter in parameters if parameter.grad is not None], like)
        momentum = _matrices(kept, like)
        if self.found_inf is not None:  # a skipped step has no gradient; the momentum and the decay stay
            gradient = torch.where(self.found_inf.bool(), momentum, gradient)
        momentum = momentum.lerp_(gradient, 1 - self._momentum)
        torch._foreach_copy_(kept, _kernels(momentum, like))
        return gradient.lerp(momentum, self._momentum)

    def _move(self, parameters: list[Tensor], update: Tensor, lr: float | Tensor) -> None:
        keep = 1.0 if self.found_inf is None else 1.0 - self.found_inf
        update = update * (max(1.0, update.shape[1] / update.shape[2]) ** 0.5 * keep)
        if self._weight_decay:
            torch._foreach_mul_(parameters, 1 - lr * self._weight_decay * keep)
        if isinstance(lr, Tensor):
            torch._foreach_sub_(parameters, _kernels(update * lr, parameters[0]))
        else:
            torch._foreach_add_(parameters, _kernels(update, parameters[0]), alpha=-lr)


def _of_one_shape(parameters: list[Tensor]) -> list[list[Tensor]]:
    """The parameters with a gradient, grouped by shape and layout."""
    alike: dict[tuple[torch.Size, bool], list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            alike.setdefault((parameter.shape, _is_channels_last(parameter)), []).append(parameter)
    return list(alike.values())


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def _matrices(kernels: list[Tensor], like: Tensor) -> Tensor:
    """[n, out, rest], with columns in storage order; the order does not change the update."""
    if _is_channels_last(like):
        kernels = [kernel.movedim(1, -1) for kernel in kernels]
    return torch.stack(kernels).flatten(2)


def _kernels(matrices: Tensor, like: Tensor) -> list[Tensor]:
    """The inverse of `_matrices`, as views."""
    if not _is_channels_last(like):
        return list(matrices.reshape(-1, *like.shape).unbind())
    out, channels, *sides = like.shape
    return list(matrices.reshape(-1, out, *sides, channels).movedim(-1, 2).unbind())
