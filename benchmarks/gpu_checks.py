"""Checks 1, 2 and 5: a GPU computes what the CPU does, resumes to the bit, and leaves out what is not finite."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from gpu_acceptance import Record
from gpu_common import (
    OPTIMISERS,
    Context,
    Faulty,
    advance,
    batch_of,
    config_of,
    network,
    objective_of,
    prepare,
    scratch,
    stirred,
    tensors_of,
    trainer_of,
)
from gpu_tensors import relative, unequal, weights_of
from torch import Tensor, nn

from ddpm_core.errors import NonFiniteError
from ddpm_core.models import UNetConfig
from ddpm_core.objectives.base import Draw
from ddpm_core.spec import DataSpec

EXACT, BF16 = 1e-5, 2e-2


# ------------------------------------------------------------------------------------------ 1: GPU against CPU


def devices_agree(context: Context, record: Record) -> None:
    """Forward and gradients in float32, and what TF32 and bf16 make of them.

    Without a GPU its kernels' way is taken on the CPU: attention and modulation as a network in evaluation does them.
    """
    for name, which in (("default", context.default), ("plain", context.plain)):
        _agree(context, record, name, *which)


def _agree(context: Context, record: Record, name: str, config: UNetConfig, spec: DataSpec) -> None:
    cpu = torch.device("cpu")
    prepare("fp32")
    draw = objective_of(spec).draw(batch_of(spec, context.size(16, 4), 0), 5, 0)
    model = stirred(network(config, spec, cpu)).train()
    reference = _pass(model, spec, draw, cpu, torch.float32)
    other = network(config, spec, context.device).to(context.device)
    other.load_state_dict(model.state_dict())
    other.train(context.cuda)
    there = moved(draw, context.device)
    exact = _pass(other, spec, there, context.device, prepare("fp32"))
    record.at_most(f"{name} forward", relative(exact[0], reference[0]), EXACT)
    record.at_most(f"{name} gradients", relative(exact[1], reference[1]), EXACT)
    rough = _pass(other, spec, there, context.device, prepare("tf32"))
    record.note(f"{name} tf32 forward", relative(rough[0], reference[0]))
    record.note(f"{name} tf32 gradients", relative(rough[1], reference[1]))
    bf16 = _pass(other, spec, there, context.device, prepare("bf16"))
    record.note(f"{name} bf16 gradients", relative(bf16[1], reference[1]))
    record.at_most(f"{name} bf16 loss", relative(bf16[2], reference[2]), BF16)


def _pass(
    model: nn.Module, spec: DataSpec, draw: Draw, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """The network's answer, all gradients as one vector, and the loss."""
    model.zero_grad(set_to_none=True)
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        with torch.no_grad():
            answer = model(draw.x_in, draw.time, **draw.cond)
        loss = objective_of(spec).loss(model, draw)
    loss.total.backward()
    gradients = [weight.grad.flatten().double().cpu() for weight in model.parameters() if weight.grad is not None]
    return answer, torch.cat(gradients), loss.total


def moved(draw: Draw, device: torch.device) -> Draw:
    """The same draw on another device."""

    def there(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        if isinstance(value, tuple):
            return tuple(map(there, value))
        return {name: there(item) for name, item in value.items()} if isinstance(value, dict) else value

    return replace(draw, **{each.name: there(getattr(draw, each.name)) for each in fields(draw)})


# ------------------------------------------------------------------------------------- 2: resume and roll back


def resumes(context: Context, record: Record) -> None:
    """20 steps, and 10 + a checkpoint + a new training that takes it up + 10; and the same across a roll-back."""
    dtype = prepare("bf16" if context.cuda else "fp32")
    problems = []
    for name, optimiser in OPTIMISERS.items():
        for faulty in (False, True):
            label = f"{name}{', roll back' if faulty else ''}"
            changes = {"on_nonfinite": "roll_back", "checkpoint_every": 5} if faulty else {}
            try:
                differing = _interrupted(context, dtype, faulty, optimiser=optimiser, **changes)
            except Exception as error:  # noqa: BLE001 (the other optimisers are to be seen too)
                problems.append(error)
                record.must(f"{label} equal", False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            else:
                record.must(f"{label} equal", not differing, differing[:5] or True)
    if problems:
        raise problems[0]


def _interrupted(context: Context, dtype: torch.dtype, faulty: bool, **changes: Any) -> list[str]:
    """The tensors that differ between a run in one go and one interrupted at 10 (with a fault: at 12, after it)."""
    config = config_of(steps=20, batch_size=context.size(32, 4), **changes)
    spec = context.default[1]

    def fresh(folder: Path, fault: bool) -> Any:
        objective = Faulty(objective_of(spec), 7) if fault else objective_of(spec)
        return trainer_of(context, context.default, config, dtype, folder=folder, objective=objective)

    with scratch() as place:
        whole = fresh(place / "whole", faulty)
        reports = list(whole.run())
        if faulty and reports[-1].nonfinite != 1:
            raise AssertionError(f"one roll-back was to be made, {reports[-1].nonfinite} were")
        at_once = tensors_of(whole, place / "whole")
        first = fresh(place / "parts", faulty)
        reports_of_first = first.run()
        while first.step < (12 if faulty else 10):
            next(reports_of_first)
        reports_of_first.close()
        first.save()
        second = fresh(place / "parts", False)
        if not second.resume():
            raise AssertionError("no checkpoint was found to resume from")
        list(second.run())
        return unequal(at_once, tensors_of(second, place / "parts"))


# ------------------------------------------------------------------------------------ 5: a step that is not finite


def leaves_out(context: Context, record: Record) -> None:
    """An infinite loss at step 3 changes no weight and no average; without one `skip` and `stop` are the same bits."""
    dtype = prepare("bf16" if context.cuda else "fp32")
    for name, optimiser in OPTIMISERS.items():
        for policy in ("stop", "skip", "roll_back"):
            _untouched(context, record, dtype, f"{name}, {policy}", optimiser=optimiser, on_nonfinite=policy)
        sides = [
            _without_fault(context, dtype, optimiser=optimiser, on_nonfinite=policy) for policy in ("stop", "skip")
        ]
        record.must(f"{name}: skip is stop", not unequal(*sides), unequal(*sides)[:5] or True)


def _untouched(context: Context, record: Record, dtype: torch.dtype, label: str, **changes: Any) -> None:
    config = config_of(steps=20, batch_size=context.size(16, 4), **changes)
    with scratch() as place:
        objective = Faulty(objective_of(context.default[1]), 3)
        trainer = trainer_of(context, context.default, config, dtype, folder=place, objective=objective)
        reports = trainer.run()
        for _ in range(2):
            next(reports)
        before: dict[str, Tensor] | None = weights_of(trainer)
        refused = False
        if config.on_nonfinite == "roll_back" and not context.cuda:
            before = None  # it is rolled back within this very step, so its weights are those of another step
        try:
            next(reports)
            if before is not None:
                record.must(f"{label}: untouched", *_same(before, trainer))
            for _ in range(5):
                next(reports)
        except NonFiniteError:
            refused = True
            if before is not None and trainer.step <= 3:
                record.must(f"{label}: untouched", *_same(before, trainer))
        finally:
            reports.close()
        after = weights_of(trainer)
        record.must(f"{label}: refused by stop alone", refused == (config.on_nonfinite == "stop"))
        record.must(f"{label}: all finite", all(bool(torch.isfinite(value).all()) for value in after.values()))


def _same(before: dict[str, Tensor], trainer: Any) -> tuple[bool, Any]:
    differing = unequal(before, weights_of(trainer))
    return not differing, f"{len(differing)} tensors differ, as {differing[0]}" if differing else True


def _without_fault(context: Context, dtype: torch.dtype, **changes: Any) -> dict[str, Tensor]:
    config = config_of(steps=10, batch_size=context.size(16, 4), **changes)
    trainer = trainer_of(context, context.default, config, dtype)
    advance(trainer, 10)
    return weights_of(trainer)
