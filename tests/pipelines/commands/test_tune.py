"""`ddpm tune-sampler`: seeds that judge nothing, a search that finds a known best, values written beside comments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.diffusion.schedules import Cosine
from ddpm_core.errors import ParamsError
from ddpm_core.metrics.intervals import Replicates
from ddpm_core.metrics.metric import Metric
from ddpm_core.samplers.config import GuidanceConfig, named
from pipelines.cli import main
from pipelines.commands.tune import Bench, beside, tuning_seeds, write
from pipelines.params import load_params
from pipelines.projects.params_text import with_mapping
from pipelines.runtime.signals import Terminated
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.search import Model, SamplingChoice, search
from tests.support.imports import ROOT
from tests.support.tiny_bundle import tiny_bundle

SCHEDULE = Cosine("cosine", 1000, 0.008, 0.999, False).build()
MODEL = Model(SCHEDULE, "fixed_small", guides=True)
START = SamplingChoice(named("unipc_2", 10, None), GuidanceConfig(0.6, (0.25, 0.9), 0.0))


@pytest.mark.parametrize("judging", [0, 12345, 2**61, 2**62, 2**62 + 7])
def test_no_seed_of_a_search_judges(judging: int) -> None:
    judges = np.arange(judging, judging + 5000)
    rounds = [tuning_seeds(judging, 5000, round) for round in (0, 1)]
    for seeds in rounds:
        assert not np.intersect1d(seeds, judges).size
        assert (seeds >= 0).all()
    assert not np.intersect1d(*rounds).size


def test_the_cost_is_that_of_the_plan_with_guidance() -> None:
    """10 trailing steps, 7 of them (900 to 300) guided."""
    assert MODEL.cost(START) == 17
    assert MODEL.cost(replace(START, guidance=replace(START.guidance, weight=0.0))) == 10


def test_a_search_begins_with_the_most_steps_that_fit_and_ends_at_the_best() -> None:
    """Of a score that is least for one sampler, levels near (1000, 700, 250, 0) and a weight of 0.3."""

    def score(choice: SamplingChoice) -> float:
        assert MODEL.cost(choice) <= 5
        levels = np.array(choice.sampler.levels(SCHEDULE))
        wanted = np.interp(np.linspace(0, 1, len(levels)), np.linspace(0, 1, 4), (1000, 700, 250, 0))
        off = np.abs(levels - wanted).mean() / 1000 + abs(len(levels) - 4)
        return float(off) + abs(choice.guidance.weight - 0.3) + (choice.sampler.kind != "dpmpp_2m")

    begun, best = search(START, MODEL, 5, score, seconds=60)
    assert (begun.sampler.kind, begun.sampler.spacing, MODEL.cost(begun)) == ("unipc_2", "trailing", 5)
    assert (best.sampler.kind, best.guidance.weight) == ("dpmpp_2m", 0.3)
    assert best.sampler.steps == 3
    assert score(best) < 0.05 < score(begun)


def test_a_search_ends_in_time_and_refuses_what_cannot_be() -> None:
    asked: list[SamplingChoice] = []

    def score(choice: SamplingChoice) -> float:
        asked.append(choice)
        return 0.0

    assert len(set(search(START, MODEL, 9, score, seconds=0))) == 1
    assert len(asked) == 1
    unguided = replace(MODEL, guides=False)
    search(START, unguided, 9, score, seconds=60)
    assert {choice.guidance for choice in asked} == {START.guidance}


def test_what_was_found_is_told_beside_the_start_and_the_bundle_s_own_way() -> None:
    found, began = (replace(START, sampler=named("unipc_2", steps, None)) for steps in (2, 5))
    measured = {
        choice: Metric("e", "distance", "lower").measured(value, None, Replicates(np.array([0.0, value]), np.zeros(2)))
        for choice, value in ((found, 0.02), (began, 0.05), (START, 0.01))
    }
    lines = beside(measured, MODEL.cost, (found, began, START), 0.95).splitlines()
    assert lines[:2] == ["", "On new seeds:"]
    assert lines[2] == f"found, {MODEL.cost(found)} evaluations: 0.02"
    assert lines[3].startswith(
        f"where the search began, {MODEL.cost(began)} evaluations: 0.05; found less this -0.03 ("
    )
    assert lines[4].startswith("the bundle's own way, 17 evaluations: 0.01; found less this 0.01 (")
    assert len(beside(measured, MODEL.cost, (found, began, began), 0.95).splitlines()) == 4
    assert len(beside(measured, MODEL.cost, (found, found, found), 0.95).splitlines()) == 3


def test_values_are_written_and_every_comment_stays(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    file = tmp_path / "params.yaml"
    file.write_text(text, encoding="utf-8")
    sampler = replace(named("ddim", 5, None), spacing=(1000, 850, 650, 420, 190, 0))
    write(file, SamplingChoice(sampler, GuidanceConfig(0.45, (0.2, 0.8), 0.0)))
    found, before = load_params(file), load_params(ROOT / "params.yaml")
    assert (found.sample.sampler, found.sample.guidance) == (sampler, GuidanceConfig(0.45, (0.2, 0.8), 0.0))
    assert replace(found, sample=before.sample) == before
    remarks = [
        [line.partition("#")[2] for line in each.splitlines() if "#" in line] for each in (text, file.read_text())
    ]
    assert remarks[0] == remarks[1]
    write(file, SamplingChoice(before.sample.sampler, before.sample.guidance))
    again = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    assert again == [line.split() for line in text.splitlines()]


def test_a_mapping_on_one_line_is_written_on_one_line() -> None:
    text = "sample:\n  sampler: {kind: ddim, steps: 1}   # how\n  seed: 0\n"
    made = with_mapping(text, "sample.sampler", {"kind": "euler", "steps": 2})
    assert made == "sample:\n  sampler: {kind: euler, steps: 2}  # how\n  seed: 0\n"
    with pytest.raises(ParamsError, match=r"must have the mapping sample.other"):
        with_mapping(text, "sample.other", {})


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_search_that_is_stopped_tells_what_it_measured(
    stop: type[BaseException],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sampler = Sampler(tiny_bundle(tmp_path / "b"), "cpu")
    config = load_params(ROOT / "params.yaml").evaluate
    bench = Bench(None, sampler, None, None, None, config)  # type: ignore[arg-type]
    values = iter([0.5, 0.25])

    def measure(_bench: Bench, _choice: SamplingChoice) -> Metric:
        value = next(values, None)
        if value is None:
            raise stop
        return Metric("energy", "distance", "lower").measured(value)

    monkeypatch.setattr(Bench, "of", lambda *words: bench)
    monkeypatch.setattr(Bench, "measure", measure)
    assert main(["tune-sampler", "--evaluations", "5", "--project", str(ROOT)]) == code
    said = capsys.readouterr()
    assert "2 candidates, best first" in said.out
    assert [line.split()[1] for line in said.out.splitlines()[1:]] == ["0.25", "0.5"]
    assert "; params.yaml is as it was" in said.err


@pytest.mark.parametrize("option", ["--evaluations=0", "--n=3", "--seconds=0"])
def test_options_out_of_range_are_told(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune-sampler", "--evaluations", "5", option]) == 2
    assert option.partition("=")[0] in capsys.readouterr().err
