"""Check 10: samples and the bound, made in two ways."""

from typing import Any

import numpy as np
import torch
from gpu_acceptance import Record
from gpu_common import DIFFUSION, OPTIMISERS, Context, advance, batch_of, config_of, network, prepare, trainer_of
from torch import nn

from ddpm_core.likelihood.nll import Data, bound_table
from ddpm_core.samplers.config import named
from ddpm_core.tensors.sampling import sample

LEVELS, BITS = 1, 1e-3


def samples_agree(context: Context, record: Record) -> None:
    """Samples within a level and the bound within a thousandth of a bit; without a GPU, in another memory layout."""
    net, spec = context.default
    dtype = prepare("bf16" if context.cuda else "fp32")
    config = config_of(steps=200, log_every=50, batch_size=context.size(64, 8), optimiser=OPTIMISERS["muon"], lr=2e-3)
    trainer = trainer_of(context, context.default, config, dtype)
    advance(trainer, context.size(150, 10))
    averages: nn.Module = trainer.ema.model
    cpu = torch.device("cpu")
    there = network(net, spec, cpu)
    there.load_state_dict({name: tensor.cpu() for name, tensor in averages.state_dict().items()})
    there.eval()
    if not context.cuda:
        averages = averages.to(memory_format=torch.channels_last)
    exact = prepare("fp32")
    pictures = {name: _pictures(model, spec, device, exact) for name, model, device in _sides(there, averages, context)}
    apart = np.abs(pictures["cpu"].astype(int) - pictures["device"].astype(int))
    record.at_most("levels apart", int(apart.max()), LEVELS)
    record.note("pixels apart", float((apart > 0).mean()))
    record.must("pictures differ", bool((pictures["cpu"][0] != pictures["cpu"][1]).any()))
    bits = {name: _bits(model, spec, device, context) for name, model, device in _sides(there, averages, context)}
    record.note("bits", bits)
    record.at_most("bits apart", abs(bits["cpu"] - bits["device"]), BITS)
    if context.cuda:
        rough = _pictures(averages, spec, context.device, prepare("bf16"))
        record.note("levels apart in bf16, mean", float(np.abs(rough.astype(int) - pictures["cpu"].astype(int)).mean()))


def _sides(there: nn.Module, here: nn.Module, context: Context) -> list[tuple[str, nn.Module, torch.device]]:
    return [("cpu", there, torch.device("cpu")), ("device", here, context.device)]


def _pictures(net: nn.Module, spec: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Twenty pictures as the preview of a training makes them."""
    parameterisation = DIFFUSION.parameterisation()
    plan = named("dpmpp_2m", 20, None).plan(parameterisation.schedule, DIFFUSION.variance)
    labels = np.arange(20, dtype=np.int64) % len(spec.classes)
    x0 = sample(
        net,
        plan,
        parameterisation,
        spec,
        seeds=range(20),
        cond={"label": labels},
        guidance=0.5,
        device=device,
        dtype=dtype,
    )
    return spec.decode(x0)


def _bits(net: nn.Module, spec: Any, device: torch.device, context: Context) -> float:
    count = context.size(32, 4)
    batch = batch_of(spec, count, 2000)
    images = spec.decode(batch.x0.numpy())
    data = Data.encoded(spec, images, {"label": batch.cond["label"].numpy()}, range(count), device)
    with torch.inference_mode():
        found = bound_table(
            net, DIFFUSION.parameterisation(), DIFFUSION.variance, data, levels=10, seed=0, on_call=lambda: None
        )
    return found.total.mean
