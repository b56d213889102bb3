"""docs/extend.md is run, block after block, and the table of docs/samplers.md is computed again."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.diffusion.oracle import GaussianOracle, moments
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.samplers.config import named, sampler_kinds

DOCS = Path(__file__).parents[2] / "docs"


def test_blocks_of_the_guide_run():
    pytest.importorskip("torch")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "extend.md").read_text(), re.S)
    assert len(blocks) == 11
    names: dict[str, object] = {"__name__": "extend"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"extend.md, block {number + 1}", "exec"), names)


def test_every_sampler_and_spacing_is_described():
    from typing import get_args

    from ddpm_core.diffusion.spacing import Spacing

    text = (DOCS / "samplers.md").read_text()
    for name in (*sampler_kinds(), *get_args(Spacing)):
        assert f"| `{name}` |" in text


def test_table_of_distances_is_what_the_samplers_do(schedule_of):
    oracle, schedule = GaussianOracle(0.3, 0.25), schedule_of("cosine")
    p = Parameterisation("v", schedule)
    part = (DOCS / "samplers.md").read_text().split("<!-- table: distance -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.strip().splitlines()[2:]]
    assert len(rows) == 8
    for kind, *cells in rows:
        for calls, cell in zip((10, 20, 50, 100), cells, strict=True):
            halved = {"predictor_corrector": calls // 2, "heun": calls // 2 + 1, "dpmpp_2s": calls // 2 + 1}
            sampler = replace(named(kind, halved.get(kind, calls), None), bound="none")
            plan = sampler.plan(schedule, "fixed_small")
            assert abs(plan.evaluations - calls) <= 1
            mean, variance = moments(plan, p, oracle.network(p))
            distance = ((mean - 0.3) ** 2 + (variance**0.5 - 0.5) ** 2) ** 0.5
            assert distance == pytest.approx(float(cell), abs=6e-5), (kind, calls)
