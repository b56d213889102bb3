"""DINOv2's vision transformer (Oquab et al. 2023), to look at pictures with: ViT-S/14 or B/14, registers or none.

The network is built from its file of weights, under the names that the official checkpoints have, so the file says by
itself how wide and deep it is. Features are the class token after the last norm. Pictures are resized to 224 pixels, 16
x 16 patches of 14; the position embedding, made for 37 x 37, is resampled to them as each official model does it: with
registers (Darcet et al. 2023) by antialiased bicubic to the very size, without by plain bicubic and a factor that is a
tenth of a patch larger than it need be.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import IntegrityError

PATCH, HEAD, SIDE = 14, 64, 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as in its training
_OFFSET = 0.1  # of a patch, without registers


@dataclass(frozen=True)
class Size:
    """How large a vision transformer is; `grid` is the side of its position embedding, in patches."""

    dims: int
    depth: int
    grid: int
    registers: int


class Scale(nn.Module):
    """Each channel times a number of its own (LayerScale: Touvron et al. 2021)."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dims))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    def __init__(self, dims: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        rows, tokens, dims = x.shape
        split = self.qkv(x).reshape(rows, tokens, 3, dims // HEAD, HEAD)  # [B, N, 3, heads, 64]
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        return mixed


class Mlp(nn.Module):
    def __init__(self, dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, 4 * dims)
        self.fc2 = nn.Linear(4 * dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    def __init__(self, dims: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=1e-6)
        self.attn = Attention(dims)
        self.ls1 = Scale(dims)
        self.norm2 = nn.LayerNorm(dims, eps=1e-6)
        self.mlp = Mlp(dims)
        self.ls2 = Scale(dims)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class PatchEmbed(nn.Module):
    def __init__(self, dims: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dims, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class VisionTransformer(nn.Module):
    """Pictures [B, 3, 14 h, 14 w], as `prepared` gives them, to the class token [B, dims]."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.dims))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + size.grid**2, size.dims))
        if size.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, size.registers, size.dims))
        self.mask_token = nn.Parameter(torch.zeros(1, size.dims))  # of its training alone; the file has it
        self.patch_embed = PatchEmbed(size.dims)
        self.blocks = nn.ModuleList(Block(size.dims) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.dims, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed(x)  # [B, dims, h, w]
        tokens = patches.flatten(2).transpose(1, 2) + self.positions(*patches.shape[2:])
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        registers = [self.register_tokens.expand(len(x), -1, -1)] if self.size.registers else []
        tokens = torch.cat([first, *registers, tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)[:, 0]
        return out

    def positions(self, height: int, width: int) -> Tensor:
        """The embedding of so many patches, [1, height * width, dims]."""
        own, grid = self.pos_embed[:, 1:], self.size.grid
        if (height, width) == (grid, grid):
            return own
        plane = own.reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        if self.size.registers:
            plane = F.interpolate(plane, size=(height, width), mode="bicubic", antialias=True)
        else:
            factors = ((height + _OFFSET) / grid, (width + _OFFSET) / grid)
            plane = F.interpolate(plane, scale_factor=factors, mode="bicubic")
        return plane.flatten(2).transpose(1, 2)


def prepared(images: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] to what the network was trained on: 224 x 224, by ImageNet's mean and standard deviation."""
    resized = F.interpolate(images.float(), size=(SIDE, SIDE), mode="bicubic", antialias=True).clamp(0.0, 255.0) / 255.0
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (_MEAN, _STD))
    return (resized - mean) / std


def size_of(tensors: Mapping[str, Tensor]) -> Size:
    """The size of the network whose weights these are; IntegrityError where they are none of DINOv2's."""
    try:
        dims, tokens = tensors["cls_token"].shape[-1], tensors["pos_embed"].shape[1]
        registers = tensors["register_tokens"].shape[1] if "register_tokens" in tensors else 0
    except (KeyError, IndexError) as error:
        raise IntegrityError(
            f"reference.extractors: the weights of dinov2 must be an official checkpoint of a backbone, but {error} is "
            "not in the file"
        ) from error
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    return Size(dims=dims, depth=depth, grid=round((tokens - 1) ** 0.5), registers=registers)


def load_dinov2(weights: bytes, device: torch.device) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor]], str]:
    """(network from uint8 [B, 3, H, W] to features [B, dims] and no logits, the preprocessing in words)."""
    tensors = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    size = size_of(tensors)
    model = VisionTransformer(size)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise IntegrityError(
            f"reference.extractors: the weights of dinov2 must be those of a vision transformer of {size}, but {error}"
        ) from error
    model = model.to(device).eval().requires_grad_(False)

    def network(images: Tensor) -> tuple[Tensor, Tensor]:
        features = model(prepared(images))
        return features, features.new_zeros(len(features), 0)

    registers = f" and {size.registers} registers" if size.registers else ""
    about = f"ViT/{PATCH} of {size.dims} x {size.depth}{registers}, bicubic with antialias to {SIDE}, ImageNet's scale"
    return network, about
