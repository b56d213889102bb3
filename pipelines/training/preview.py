"""Previews of a training: samples with the same noise and conditions each time, as one picture."""

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ddpm_core.objectives.config import ObjectiveConfig
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.config import named
from ddpm_core.spec import LABEL, DataSpec
from ddpm_core.tensors.sampling import sample
from pipelines.kinds import kind_of
from pipelines.shards.archive import Arrays

_log = logging.getLogger(__name__)
_SAMPLES, _STEPS, _GUIDANCE = 20, 20, 0.5


class Preview:
    """Samples of the averaged weights, the same noise and conditions each time."""

    def __init__(
        self,
        model: nn.Module,
        diffusion: ObjectiveConfig,
        spec: DataSpec,
        device: torch.device,
        dtype: torch.dtype,
        examples: Callable[[], Arrays],
    ) -> None:
        self._parameterisation = diffusion.parameterisation()
        schedule = self._parameterisation.schedule
        student = diffusion.student()
        sampler: SamplerConfig = named("dpmpp_2m", min(_STEPS, schedule.T), None)
        if student is not None and student.sampler is not None:  # valid there alone
            levels = tuple(student.sampler["levels"])
            sampler = replace(named(student.sampler["kind"], len(levels) - 1, None), spacing=levels)
        self._guidance = 0.0 if schedule.one_level or student is not None else _GUIDANCE
        self._plan = sampler.plan(schedule, diffusion.variance)
        self._model, self._spec, self._device, self._dtype = model, spec, device, dtype
        self._cond = kind_of(spec.kind).preview_conditions(examples, spec, _SAMPLES)

    def png(self) -> bytes:
        x0 = sample(
            self._model,
            self._plan,
            self._parameterisation,
            self._spec,
            seeds=range(_SAMPLES),
            cond=self._cond,
            guidance=self._guidance,
            device=self._device,
            dtype=self._dtype,
        )
        if not np.isfinite(x0).all():
            _log.warning("the averaged weights give non-finite values; the preview shows them as 0")
            x0 = np.nan_to_num(x0, nan=0.0, posinf=0.0, neginf=0.0)
        return kind_of(self._spec.kind).preview(self._spec.decode(x0, self._cond.get(LABEL)), self._cond, self._spec)
