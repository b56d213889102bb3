"""A checkpoint of guided-diffusion answers as the network that its repository describes, which is written out here."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ddpm_core.diffusion.schedules import Cosine, Linear
from ddpm_core.errors import IntegrityError, ParamsError
from pipelines.interchange.model import ImportOptions
from pipelines.interchange.openai_unet import read_openai

FLAGS: dict[str, Any] = {
    "image_size": 8,
    "num_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": "1,2",
    "attention_resolutions": "4",
    "num_heads": 4,
    "use_scale_shift_norm": True,
    "class_cond": True,
    "learn_sigma": True,
    "diffusion_steps": 500,
    "noise_schedule": "cosine",
    "rescale_timesteps": True,
    "use_fp16": False,
}
PLAIN = {"use_scale_shift_norm": False, "class_cond": False, "learn_sigma": False, "rescale_timesteps": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "improved-diffusion": {},
    "guided-diffusion": {"num_head_channels": 16, "resblock_updown": True, "use_new_attention_order": True},
    "time is added": {**PLAIN, "attention_resolutions": [8, 4], "num_res_blocks": 2},
}


class Reference:
    """UNetModel of these flags as a function of its state dict; weights are drawn when they are first asked for."""

    def __init__(self, flags: dict[str, Any]) -> None:
        self.flags, self.state, self.draw = flags, {}, torch.Generator().manual_seed(0)  # type: ignore[var-annotated]
        self.mult = [int(each) for each in flags["channel_mult"].split(",")]
        text = flags["attention_resolutions"]
        self.attended = [int(each) for each in (text.split(",") if isinstance(text, str) else text)]

    def weight(self, name: str, *shape: int) -> Tensor:
        if name not in self.state:
            values = torch.randn(shape, generator=self.draw)
            self.state[name] = values / math.prod(shape[1:]) ** 0.5 if len(shape) > 1 else 0.3 * values
        return self.state[name]

    def conv(self, name: str, x: Tensor, out: int, kernel: int = 3, stride: int = 1) -> Tensor:
        weight = self.weight(f"{name}.weight", out, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, self.weight(f"{name}.bias", out), stride, kernel // 2)

    def linear(self, name: str, x: Tensor, out: int) -> Tensor:
        return F.linear(x, self.weight(f"{name}.weight", out, x.shape[1]), self.weight(f"{name}.bias", out))

    def norm(self, name: str, x: Tensor) -> Tensor:
        width = x.shape[1]
        return F.group_norm(x, 32, 1 + self.weight(f"{name}.weight", width), self.weight(f"{name}.bias", width))

    def block(self, name: str, x: Tensor, emb: Tensor, out: int, resample: str = "") -> Tensor:
        changed = {
            "": lambda y: y,
            "down": lambda y: F.avg_pool2d(y, 2),
            "up": lambda y: F.interpolate(y, scale_factor=2),
        }
        h = changed[resample](F.silu(self.norm(f"{name}.in_layers.0", x)))
        x, h = changed[resample](x), self.conv(f"{name}.in_layers.2", h, out)
        scaled = self.flags["use_scale_shift_norm"]
        e = self.linear(f"{name}.emb_layers.1", F.silu(emb), 2 * out if scaled else out)[:, :, None, None]
        if scaled:
            scale, shift = e.chunk(2, dim=1)
            h = self.norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        else:
            h = self.norm(f"{name}.out_layers.0", h + e)
        h = self.conv(f"{name}.out_layers.3", F.silu(h), out)
        return h + (x if x.shape[1] == out else self.conv(f"{name}.skip_connection", x, out, 1))

    def attention(self, name: str, x: Tensor) -> Tensor:
        batch, width, height, across = x.shape
        head = self.flags.get("num_head_channels", -1)
        heads = self.flags["num_heads"] if head == -1 else width // head
        weight = self.weight(f"{name}.qkv.weight", 3 * width, width, 1)
        qkv = F.conv1d(self.norm(f"{name}.norm", x).flatten(2), weight, self.weight(f"{name}.qkv.bias", 3 * width))
        if self.flags.get("use_new_attention_order"):
            q, k, v = (part.reshape(batch * heads, width // heads, -1) for part in qkv.chunk(3, dim=1))
        else:
            q, k, v = qkv.reshape(batch * heads, 3 * width // heads, -1).chunk(3, dim=1)
        scores = torch.einsum("bct,bcs->bts", q, k) / (width // heads) ** 0.5
        a = torch.einsum("bts,bcs->bct", scores.softmax(-1), v).reshape(batch, width, -1)
        weight = self.weight(f"{name}.proj_out.weight", width, width, 1)
        out = F.conv1d(a, weight, self.weight(f"{name}.proj_out.bias", width))
        return x + out.reshape(batch, width, height, across)

    def embedding(self, t: Tensor, label: Tensor | None) -> Tensor:
        base = self.flags["num_channels"]
        if self.flags["rescale_timesteps"]:
            t = t * (1000.0 / self.flags["diffusion_steps"])
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(base // 2) / (base // 2))
        emb = self.linear("time_embed.0", torch.cat([angles.cos(), angles.sin()], 1), 4 * base)
        emb = self.linear("time_embed.2", F.silu(emb), 4 * base)
        return emb if label is None else emb + self.weight("label_emb.weight", 5, 4 * base)[label]

    def __call__(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        flags, base, blocks = self.flags, self.flags["num_channels"], self.flags["num_res_blocks"]
        emb, channels = self.embedding(t, label), x.shape[1]
        updown, n = flags.get("resblock_updown"), 1
        h = self.conv("input_blocks.0.0", x, base)
        across = [h]
        for level, mult in enumerate(self.mult):
            for _ in range(blocks):
                h = self.block(f"input_blocks.{n}.0", h, emb, mult * base)
                if flags["image_size"] // 2**level in self.attended:
                    h = self.attention(f"input_blocks.{n}.1", h)
                across, n = [*across, h], n + 1
            if level < len(self.mult) - 1:
                name = f"input_blocks.{n}.0"
                h = (
                    self.block(name, h, emb, mult * base, "down")
                    if updown
                    else self.conv(f"{name}.op", h, mult * base, 3, 2)
                )
                across, n = [*across, h], n + 1
        h = self.block("middle_block.0", h, emb, h.shape[1])
        h = self.block("middle_block.2", self.attention("middle_block.1", h), emb, h.shape[1])
        n = 0
        for level, mult in reversed([*enumerate(self.mult)]):
            for i in range(blocks + 1):
                h = self.block(f"output_blocks.{n}.0", torch.cat([h, across.pop()], 1), emb, mult * base)
                attends = flags["image_size"] // 2**level in self.attended
                if attends:
                    h = self.attention(f"output_blocks.{n}.1", h)
                if level and i == blocks:
                    name = f"output_blocks.{n}.{2 if attends else 1}"
                    if updown:
                        h = self.block(name, h, emb, mult * base, "up")
                    else:
                        h = self.conv(f"{name}.conv", F.interpolate(h, scale_factor=2), mult * base)
                n += 1
        return self.conv("out.2", F.silu(self.norm("out.0", h)), channels * (2 if flags["learn_sigma"] else 1))

    def checkpoint(self) -> dict[str, Tensor]:
        """The state dict: a norm's weight is drawn as its difference from 1."""
        norms = (".in_layers.0.weight", ".out_layers.0.weight", ".norm.weight", "out.0.weight")
        return {name: 1 + value if name.endswith(norms) else value for name, value in self.state.items()}


def written(flags: dict[str, Any], file: Path) -> tuple[Reference, Tensor, Tensor, Tensor | None]:
    """A reference whose checkpoint is in the file, and inputs."""
    reference = Reference(flags)
    draw = torch.Generator().manual_seed(1)
    x, t = torch.randn(3, 3, 8, 8, generator=draw), torch.tensor([0.0, 250.0, 499.0])
    label = torch.tensor([0, 4, 2]) if flags["class_cond"] else None
    reference(x, t, label)
    save_file(reference.checkpoint(), file)
    return reference, x, t, label


@pytest.mark.parametrize("name", list(VARIANTS))
def test_the_network_answers_as_its_description(name: str, tmp_path: Path) -> None:
    flags = {**FLAGS, **VARIANTS[name]}
    reference, x, t, label = written(flags, tmp_path / "ema.safetensors")
    model = read_openai(tmp_path / "ema.safetensors", flags, ImportOptions())
    net = model.network.build(model.spec, model.diffusion.learned_variance).eval()
    net.load_state_dict(dict(model.weights))
    with torch.no_grad():
        expected = reference(x, t, label)
        found = net(x, t + 1) if label is None else net(x, t + 1, label)
    assert float(expected.abs().max()) > 0.1
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5


def test_flags_say_the_process(tmp_path: Path) -> None:
    written(FLAGS, tmp_path / "ema.safetensors")
    model = read_openai(tmp_path / "ema.safetensors", FLAGS, ImportOptions(classes="4"))
    assert model.diffusion.schedule == Cosine("cosine", 500, 0.008, 0.999, False)
    assert (model.diffusion.target, model.diffusion.variance) == ("eps", "learned")
    assert model.spec.classes == ("0", "1", "2", "3")
    flags = {**FLAGS, **PLAIN, "noise_schedule": "linear", "predict_xstart": True, "sigma_small": True}
    written(flags, tmp_path / "plain.safetensors")
    model = read_openai(tmp_path / "plain.safetensors", flags, ImportOptions())
    assert model.diffusion.schedule == Linear("linear", 500, 1e-4, 0.02, True, False)
    assert (model.diffusion.target, model.diffusion.variance) == ("x0", "fixed_small")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("noise_schedule", "sqrt"),
        ("channel_mult", "2,4"),
        ("channel_mult", ""),
        ("num_heads_upsample", 2),
        ("attention_resolutions", "x"),
        ("num_channels", 24),
        ("extra", 1),
    ],
)
def test_flags_that_cannot_be_expressed_are_refused_by_name(key: str, value: Any, tmp_path: Path) -> None:
    written(FLAGS, tmp_path / "ema.safetensors")
    named = {"channel_mult": "channel_mult", "attention_resolutions": "flags", "num_channels": "norm_groups"}
    with pytest.raises(ParamsError, match=named.get(key, key)):
        read_openai(tmp_path / "ema.safetensors", {**FLAGS, key: value}, ImportOptions())


def test_flags_that_lack_and_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    reference, *_ = written(FLAGS, tmp_path / "ema.safetensors")
    with pytest.raises(ParamsError, match="rescale_timesteps must be given"):
        read_openai(
            tmp_path / "ema.safetensors", {k: v for k, v in FLAGS.items() if k != "rescale_timesteps"}, ImportOptions()
        )
    with pytest.raises(IntegrityError, match="missing input_blocks"):
        read_openai(tmp_path / "ema.safetensors", {**FLAGS, "num_res_blocks": 2}, ImportOptions())
    save_file({"conv_in.weight": reference.state["out.2.weight"]}, tmp_path / "other.safetensors")
    with pytest.raises(ParamsError, match="UNetModel"):
        read_openai(tmp_path / "other.safetensors", FLAGS, ImportOptions())
