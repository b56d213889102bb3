"""DDIM run backwards (Song et al. 2021, section 5.4): from a datum to the noise that DDIM makes it of.

Not a member of the union: it goes from data to noise. x_0 is taken for the sample at the lowest level, where the two
differ by almost nothing; nothing is clipped, for a clipped step cannot be undone.
"""

from collections.abc import Sequence
from itertools import pairwise

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.samplers.base import add_ddim, steps_of


def inversion(levels: Sequence[int], schedule: Schedule) -> SamplingPlan:
    """The plan from data up through falling `levels`, read from their end; run it from x_0, its result is x_T."""
    steps_of(levels)
    rows = PlanBuilder(schedule, "ddim_inversion", "none")
    for t, s in pairwise(level for level in reversed(levels) if level > 0):
        add_ddim(rows, t, s)
    return rows.finish()
