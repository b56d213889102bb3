"""The parts of a U-Net. Feature maps are [B, C, H, W], the embedding of time and label is [B, E]."""

import math
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Resample = Literal["down", "up", "none"]
M = TypeVar("M", bound=nn.Module)
FEW = 1024  # pixels or patches in attention: 32 x 32
AT_ONCE = 4 * 2**20  # bytes of the weights of attention


def zero_init(module: M) -> M:
    """Set all parameters to zero, so that a residual block starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2)


def doubled(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling in the type of x; on a GPU autocast would copy everything to float32 and back."""
    if not x.is_cuda:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    with torch.autocast("cuda", enabled=False):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Downsample(nn.Module):
    """Halves the side, by a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels, 3, stride=2)

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class Upsample(nn.Module):
    """Doubles the side, by the nearest neighbour and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels, 3)

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        y: Tensor = self.conv(doubled(x))
        return y


def resampled(x: Tensor, resample: Resample) -> Tensor:
    if resample == "down":
        return F.avg_pool2d(x, 2)
    if resample == "up":
        return doubled(x)
    return x


def at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


class GroupNorm(nn.GroupNorm):
    """Group normalisation that keeps the type: bfloat16 for bfloat16, also under autocast on a GPU.

    There autocast would use float32 for it and for everything up to the next convolution. Its sums are in float32
    either way.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cuda or x.dtype == self.weight.dtype:
            return super().forward(x)
        with torch.autocast("cuda", enabled=False):
            if torch.compiler.is_compiling():
                return normed_by_channels(x, self.num_groups, self.weight, self.bias, self.eps)
            return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def normed_by_channels(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Group normalisation by sums of each channel, for a compiler: in channels_last it reads memory in order.

    Sums over a group's few channels would read scattered blocks of 8 bytes. The variance is a difference of two sums in
    float32, which is exact enough for bfloat16.
    """
    batch, channels, height, width = x.shape
    in_groups = (batch, groups, channels // groups)
    number = height * width * in_groups[2]
    wide = x.float()
    mean = wide.sum((2, 3)).view(in_groups).sum(2) / number
    square = wide.square().sum((2, 3)).view(in_groups).sum(2) / number
    rate = torch.rsqrt((square - mean.square()).clamp(min=0) + eps)
    scale = rate[:, :, None].expand(in_groups).reshape(batch, channels) * weight
    shift = bias - mean[:, :, None].expand(in_groups).reshape(batch, channels) * scale
    return (wide * scale[:, :, None, None] + shift[:, :, None, None]).to(x.dtype)


def modulated(norm: nn.GroupNorm, x: Tensor, scale: Tensor, shift: Tensor, *, in_one: bool) -> Tensor:
    """(1 + scale) norm(x) + shift, with scale and shift [B, C] of each picture.

    `in_one`: one pass of torch's kernel, with the batch as the channels of one picture and weights for each; a training
    step of the default network on a CPU is 5 % faster with it. The exported graph has one product and one sum over the
    feature map: those of the norm go into scale and shift.
    """
    if torch.compiler.is_exporting():
        scale = 1 + scale
        weight, bias = norm.weight * scale, norm.bias * scale + shift
        return F.group_norm(x, norm.num_groups, eps=norm.eps) * weight[:, :, None, None] + bias[:, :, None, None]
    if not in_one:
        return norm(x) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]  # type: ignore[no-any-return]
    batch, channels, height, width = x.shape
    scale = 1 + at_least_float32(scale)
    weight, bias = norm.weight * scale, norm.bias * scale + shift
    row = x.reshape(1, batch * channels, height, width)
    row = F.group_norm(row, batch * norm.num_groups, weight.flatten(), bias.flatten(), norm.eps)
    return row.reshape(x.shape)


class ResBlock(nn.Module):
    """norm, SiLU, (resample,) conv; then the embedding; norm, SiLU, dropout, conv from zero; plus the input."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        *,
        groups: int,
        dropout: float,
        scale_shift: bool,
        resample: Resample = "none",
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.resample: Resample = resample
        self.norm1 = GroupNorm(groups, in_channels)
        self.conv1 = conv(in_channels, out_channels, 3)
        self.embed = nn.Linear(embedding, 2 * out_channels if scale_shift else out_channels)
        self.norm2 = GroupNorm(groups, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero_init(conv(out_channels, out_channels, 3))
        self.skip = nn.Identity() if in_channels == out_channels else conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(resampled(F.silu(self.norm1(x)), self.resample))
        e = self.embed(embedding)  # UNet applies the SiLU before it once for all blocks
        if self.scale_shift:
            # Nichol & Dhariwal 2021, section 3: AdaGN(h, e) = e_scale GroupNorm(h) + e_shift.
            h = modulated(self.norm2, h, *e.chunk(2, dim=1), in_one=h.device.type == "cpu")
        else:
            h = self.norm2(h + e[:, :, None, None])
        y: Tensor = self.skip(resampled(x, self.resample)) + self.conv2(self.dropout(F.silu(h)))
        return y


def weighed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v in separate products, in q's type even under autocast. [B heads, N, d] -> the same

    torch's softmax sums in float32 and gives bfloat16, so no N x N matrix is converted. Without gradients the weights
    are made in parts that stay in the cache.
    """
    number = len(q) if torch.is_grad_enabled() else max(1, AT_ONCE // (q.shape[1] ** 2 * q.element_size()))
    with torch.autocast(q.device.type, enabled=False):
        if number >= len(q):
            return _weighed(q, k, v)
        parts = (slice(start, start + number) for start in range(0, len(q), number))
        return torch.cat([_weighed(q[part], k[part], v[part]) for part in parts])


def _weighed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.softmax(torch.bmm(q * q.shape[2] ** -0.5, k.transpose(1, 2)), dim=2)
    return torch.bmm(weights, v)


def goes_in_products(x: Tensor, count: int) -> bool:
    """Whether `weighed` computes attention among `count` rows: of few on a CPU, where torch's kernel is slower."""
    return count <= FEW and x.device.type == "cpu" and not torch.compiler.is_exporting()


def attended(rows: Tensor, heads: int) -> Tensor:
    """Attention among the rows of each datum; a row is its query, key and value. [B, N, 3C] -> [B, N, C]"""
    batch, count, channels = rows.shape
    width = channels // (3 * heads)
    # -> 3 x [B, heads, N, C / heads]
    apart = rows.view(batch, count, 3, heads, width).permute(2, 0, 3, 1, 4)
    if goes_in_products(rows, count):
        q, k, v = apart.reshape(3, batch * heads, count, width).unbind(0)
        h = weighed(q, k, v).view(batch, heads, count, width)
    else:
        q, k, v = apart.unbind(0)
        h = F.scaled_dot_product_attention(q, k, v)
    return h.transpose(1, 2).reshape(batch, count, heads * width)


class Attention(nn.Module):
    """Self-attention over all pixels; the output projection starts at zero.

    On a CPU it uses matrix products if the N x N weights are few: the fused kernel and the backward passes of 1 x 1
    convolutions are slow there. benchmarks/RESULTS.md has the times.
    """

    def __init__(self, channels: int, *, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(groups, channels)
        self.qkv = conv(channels, 3 * channels, 1)
        self.out = zero_init(conv(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        count = x.shape[2] * x.shape[3]
        y: Tensor = x + (self._in_products(h) if goes_in_products(x, count) else self._fused(h))
        return y

    def _fused(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        # [B, 3C, H, W] -> 3 x [B, heads, HW, C / heads]; cut before it is turned: an exported graph turns less
        qkv = self.qkv(x).reshape(-1, 3 * self.heads, channels // self.heads, height * width)
        q, k, v = (part.transpose(2, 3) for part in qkv.chunk(3, dim=1))
        h = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(-1, channels, height, width)
        y: Tensor = self.out(h)
        return y

    def _in_products(self, x: Tensor) -> Tensor:
        rows = F.linear(x.flatten(2).transpose(1, 2), self.qkv.weight.flatten(1), self.qkv.bias)
        h = attended(rows, self.heads)
        return F.linear(h, self.out.weight.flatten(1), self.out.bias).transpose(1, 2).reshape(x.shape)


class Refine(nn.Module):
    """Refines the output on patches pixel by pixel, with x, to remove differences between the pixels of a patch.

    The output [B, width, h, w] becomes `channels` maps of x's size, plus a convolution of x; then a residual block,
    norm, SiLU, and a convolution that starts at zero.
    """

    def __init__(
        self,
        width: int,
        shape: tuple[int, int],
        embedding: int,
        *,
        patch: int,
        channels: int,
        groups: int,
        dropout: float,
        scale_shift: bool,
    ) -> None:
        super().__init__()
        self.patch = patch
        x_channels, out_channels = shape
        groups = math.gcd(groups, channels)
        self.spread = conv(width, channels * patch**2, 3)
        self.stem = conv(x_channels, channels, 3)
        self.block = ResBlock(channels, channels, embedding, groups=groups, dropout=dropout, scale_shift=scale_shift)
        self.norm = GroupNorm(groups, channels)
        self.out = zero_init(conv(channels, out_channels, 3))

    def forward(self, h: Tensor, x: Tensor, embedding: Tensor) -> Tensor:
        h = F.pixel_shuffle(self.spread(h), self.patch) + self.stem(x)
        y: Tensor = self.out(F.silu(self.norm(self.block(h, embedding))))
        return y
