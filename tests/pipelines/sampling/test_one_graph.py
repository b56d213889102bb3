"""The whole sampler as one ONNX graph: its samples are the step-wise sampler's, whatever the plan."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ddpm_core.bundle.format import Bundle
from ddpm_core.errors import ParamsError
from ddpm_core.samplers.config import GuidanceConfig, sampler_kinds
from pipelines import cli
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.one_graph import difference, feeds, sampler_graph
from pipelines.sampling.onnx_denoiser import run_graph
from tests.support.points_bundle import points_bundle
from tests.support.rollout_bundle import rollout_bundle
from tests.support.tiny_bundle import tiny_bundle, tiny_sample_config, tiny_spec

SEEDS = [3, 4, 5]
COND: dict[str, Any] = {"label": [2, None, 0]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("whole") / "b", golden=True)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("whole") / "l", variance="learned", spec=tiny_spec(channels=3))


def largest_difference(bundle: Bundle, recipe: Any, cond: dict[str, Any] = COND) -> int:
    made = run_graph(sampler_graph(bundle, recipe), feeds(bundle, recipe, SEEDS, cond))
    expected = Sampler(bundle, "cpu").sample(recipe, SEEDS, cond)
    assert made.dtype == expected.dtype == np.uint8
    assert len(np.unique(made)) > 10
    return int(np.abs(made.astype(int) - expected.astype(int)).max())


@pytest.mark.parametrize("guidance", [0.0, 1.5])
@pytest.mark.parametrize("kind", sampler_kinds())
def test_samples_are_those_of_the_step_wise_sampler(bundle: Bundle, kind: str, guidance: float) -> None:
    recipe = Sampler(bundle, "cpu").recipe(kind, 6, guidance)
    assert largest_difference(bundle, recipe) <= 1


@pytest.mark.parametrize("kind", ["ancestral", "ddim", "unipc_2"])
def test_a_learned_variance_and_a_guidance_that_acts_in_some_rows_alone(learned: Bundle, kind: str) -> None:
    guided = GuidanceConfig(2.0, (0.3, 0.8), 0.0)
    recipe = Sampler(learned, "cpu").recipe(kind, 6, guided)
    assert largest_difference(learned, recipe) <= 1


def test_without_conditions_x_T_is_all_that_is_given(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", conditional=False)
    recipe = Sampler(bundle, "cpu").recipe("ddim", 4)
    assert [value.name for value in onnx.load_from_string(sampler_graph(bundle, recipe)).graph.input] == ["x_T"]
    assert largest_difference(bundle, recipe, {}) <= 1


def test_noise_is_an_input_where_the_plan_draws_any(bundle: Bundle) -> None:
    def inputs(kind: str) -> list[str]:
        recipe = Sampler(bundle, "cpu").recipe(kind, 4)
        return [value.name for value in onnx.load_from_string(sampler_graph(bundle, recipe)).graph.input]

    assert inputs("ddim") == ["x_T", "label"]
    assert inputs("ancestral") == ["x_T", "label", "noise"]


def test_the_same_choices_give_the_same_bytes_and_say_what_they_are(bundle: Bundle) -> None:
    recipe = Sampler(bundle, "cpu").recipe("ddim", 4, 1.5)
    graph = sampler_graph(bundle, recipe)
    assert graph == sampler_graph(bundle, recipe)
    props = {each.key: each.value for each in onnx.load_from_string(graph).metadata_props}
    assert props == {"bundle": bundle.digest, "sampler": "ddim", "steps": "4", "guidance": "1.5"}


def test_what_a_graph_cannot_say_is_refused_by_name(bundle: Bundle, tmp_path: Path) -> None:
    sampler = Sampler(bundle, "cpu")
    with pytest.raises(ParamsError, match="rescale"):
        sampler_graph(bundle, sampler.recipe("ddim", 4, GuidanceConfig(1.0, None, 0.5)))
    rollout = rollout_bundle(tmp_path / "r")
    with pytest.raises(ParamsError, match="one loop"):
        sampler_graph(rollout, Sampler(rollout, "cpu").recipe())


def test_the_command_writes_a_graph_that_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tiny_bundle(tmp_path / "b", sample=tiny_sample_config("unipc_2", 5, 1.0))
    out = tmp_path / "sampler.onnx"
    assert cli.main(["bundle", "onnx", str(out), "--bundle", str(tmp_path / "b")]) == 0
    sampler = Sampler(bundle, "cpu")
    made = run_graph(out.read_bytes(), feeds(bundle, sampler.recipe(), SEEDS, COND))
    np.testing.assert_allclose(made.astype(int), sampler.sample(sampler.recipe(), SEEDS, COND), atol=1)
    assert cli.main(["bundle", "onnx", str(tmp_path / "sampler.txt"), "--bundle", str(tmp_path / "b")]) == 2
    assert "OUT.onnx" in capsys.readouterr().err


def test_data_without_levels_come_in_their_own_unit(tmp_path: Path) -> None:
    bundle = points_bundle(tmp_path / "p")
    sampler = Sampler(bundle, "cpu")
    graph = sampler_graph(bundle, sampler.recipe("ddim", 5, 1.0))
    assert difference(sampler, sampler.recipe("ddim", 5, 1.0), graph) < 1e-5
