"""The x0_hat of each row with which a plan passes through given states: the targets of a trajectory regression.

    x_{n+1} = c_x x_n + sum_k past_x[k] x_{n-k} + c_D D_n + sum_k past_D[k] D_{n-k},    solved for D_n in turn

A network that gives these D walks the states of a finer plan in this plan's few rows.
"""

from collections.abc import Sequence

from ddpm_core.diffusion.arrays import Array
from ddpm_core.diffusion.plan import Row
from ddpm_core.errors import ParamsError


def solved(rows: Sequence[Row], states: Sequence[Array]) -> list[Array]:
    """D of each row; `states` are x before the first row and after each."""
    if len(states) != len(rows) + 1:
        raise ParamsError(f"states: must be one more than the {len(rows)} rows, got {len(states)}")
    found: list[Array] = []
    for n, row in enumerate(rows):
        if row.c_D == 0 or row.c_z != 0 or row.learned:
            raise ParamsError(f"a plan can be solved for x0_hat where each row has it and draws no noise, not row {n}")
        left = states[n + 1] - row.c_x * states[n]
        for back, c in enumerate(row.past_x, start=1):
            left = left - c * states[n - back]
        for back, c in enumerate(row.past_D, start=1):
            left = left - c * found[n - back]
        found.append(left / row.c_D)
    return found
