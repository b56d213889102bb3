"""The sampler over a bundle: a picture is a function of its seed and label, and of nothing else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.diffusion.noise import initial
from ddpm_core.diffusion.schedules import Edm
from ddpm_core.errors import DeviceError, IntegrityError, ParamsError
from ddpm_core.pseudo_classes import drawn, with_pseudo_classes
from ddpm_core.samplers.config import GuidanceConfig, named, sampler_kinds
from pipelines.sampling import onnx_denoiser
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.parallel import sample_in_parallel
from tests.support.imports import ROOT
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_sample_config, tiny_spec

LABELS = [0, 1, 2, None, 1, 0, None, 2, 1]
SEEDS = [3, 1, 4, 1, 5, 9, 2, 6, 2**64 - 1]


@pytest.mark.parametrize("kind", list(sampler_kinds()))
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_image_of_a_seed_does_not_depend_on_its_batch_or_neighbours(
    sampler: Sampler, kind: str, guidance: float
) -> None:
    chosen = named(kind, 5, None)
    together = sampler.sample(sampler.recipe(chosen, guidance=guidance), SEEDS, {"label": LABELS})
    for size in (1, 2, 4):
        apart = sampler.sample(sampler.recipe(chosen, guidance=guidance), SEEDS, {"label": LABELS}, batch_size=size)
        np.testing.assert_array_equal(together, apart)
    reverse = sampler.sample(sampler.recipe(chosen, guidance=guidance), SEEDS[::-1], {"label": LABELS[::-1]})
    np.testing.assert_array_equal(together, reverse[::-1])


@pytest.mark.parametrize("guidance", [GuidanceConfig(1.0, (0.2, 0.7), 0.0), GuidanceConfig(2.0, None, 0.7)])
def test_interval_and_rescale_keep_images_apart_from_their_batch(sampler: Sampler, guidance: GuidanceConfig) -> None:
    recipe = sampler.recipe(guidance=guidance)
    together = sampler.sample(recipe, SEEDS, {"label": LABELS})
    alone = [sampler.sample(recipe, [seed], {"label": [label]})[0] for label, seed in zip(LABELS, SEEDS, strict=True)]
    np.testing.assert_array_equal(together, np.stack(alone))


@pytest.mark.parametrize("kind", ["ancestral", "dpmpp_2m", "dpmpp_3m", "unipc_2", "heun"])
def test_the_graph_run_by_numpy_gives_what_onnxruntime_gives(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    chosen = named(kind, 6, None)
    by_runtime = sampler.sample(sampler.recipe(chosen, guidance=0.0), SEEDS, {"label": LABELS})
    graph = ReferenceEvaluator(onnx.load_from_string(sampler.bundle.model))
    monkeypatch.setattr(sampler, "_net", lambda x, t, cond: graph.run(None, {"x": x, "t": t, **cond})[0])
    by_numpy = sampler.sample(sampler.recipe(chosen, guidance=0.0), SEEDS, {"label": LABELS})
    assert np.abs(by_runtime.astype(int) - by_numpy).max() <= 1
    assert by_runtime.std() > 5


def test_learned_variance_and_colour_keep_the_law(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b", spec=tiny_spec(channels=3), variance="learned", sample=tiny_sample_config("ancestral"))
    sampler = Sampler.open(tmp_path / "b", "cpu", threads=2)
    together = sampler.sample(sampler.recipe(guidance=0.5), SEEDS, {"label": LABELS})
    assert together.shape == (len(SEEDS), 3, 8, 8)
    np.testing.assert_array_equal(
        together, sampler.sample(sampler.recipe(guidance=0.5), SEEDS, {"label": LABELS}, batch_size=2)
    )


def test_seed_label_guidance_and_steps_each_change_the_image(sampler: Sampler) -> None:
    base = sampler.sample(sampler.recipe(), [0], {"label": [1]})[0]
    others = [
        sampler.sample(sampler.recipe(), [1], {"label": [1]}),
        sampler.sample(sampler.recipe(), [0], {"label": [2]}),
        sampler.sample(sampler.recipe(), [0], {"label": [None]}),
        sampler.sample(sampler.recipe(guidance=3.0), [0], {"label": [1]}),
        sampler.sample(sampler.recipe(steps=7), [0], {"label": [1]}),
        sampler.sample(sampler.recipe(named("ancestral", 4, None)), [0], {"label": [1]}),
    ]
    assert all((other[0] != base).any() for other in others)


def test_a_sampler_named_by_its_kind_takes_what_else_it_needs_from_the_bundle(sampler: Sampler) -> None:
    default = sampler.defaults.sampler
    assert sampler.recipe("heun", 5).sampler == named("heun", 5, default)
    assert sampler.recipe("heun").sampler == named("heun", default.steps, default)
    assert sampler.recipe(default.kind, 7).sampler == replace(default, steps=7)


def test_explicit_levels_of_a_bundle_come_back_as_they_were_and_hold_for_their_own_steps(tmp_path: Path) -> None:
    levels = (50, 31, 12, 0)
    sample = replace(tiny_sample_config(steps=3), sampler=replace(named("ddim", 3, None), spacing=levels))
    tiny_bundle(tmp_path / "b", sample=sample)
    opened = Sampler.open(tmp_path / "b", "cpu")
    assert opened.recipe().plan.t.tolist() == [50, 31, 12]
    assert opened.recipe(steps=3).plan.t.tolist() == opened.recipe("euler").plan.t.tolist() == [50, 31, 12]
    assert opened.recipe(steps=2).sampler.spacing == opened.recipe("euler", 2).sampler.spacing == "trailing"


def test_it_starts_from_the_last_levels_noise_and_bounds_as_the_plan_says(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def spy(plan: Any, parameterisation: Any, denoise: Any, x_T: Any, noise: Any, *, bound: Any, on_step: Any) -> Any:
        seen.update(x_T=x_T, bound=bound)
        return x_T * 0

    edm = Edm("edm", 20, 0.002, 80.0, 7.0, 0.5).build()
    exploding = Sampler(replace(sampler.bundle, schedule=edm, target="edm"), "cpu")
    monkeypatch.setattr("ddpm_core.diffusion.rollout.generate", spy)
    exploding.sample(exploding.recipe(), [3], {"label": [0]})
    np.testing.assert_allclose(seen["x_T"], 80 * initial([3], sampler.bundle.spec.shape), rtol=1e-6)
    assert seen["bound"](np.array([[-5.0, 0.5, 5.0]])).tolist() == [[-1.0, 0.5, 1.0]]


def test_no_label_is_not_moved_by_guidance(sampler: Sampler) -> None:
    np.testing.assert_array_equal(
        sampler.sample(sampler.recipe(), [0], {"label": [None]}),
        sampler.sample(sampler.recipe(guidance=2.0), [0], {"label": [None]}),
    )


def test_defaults_are_the_bundle_s(sampler: Sampler) -> None:
    explicit = sampler.sample(sampler.recipe(sampler.defaults.sampler, steps=4, guidance=0.0), [0], {"label": [1]})
    np.testing.assert_array_equal(sampler.sample(sampler.recipe(), [0], {"label": [1]}), explicit)


def test_steps_are_counted_for_the_caller_who_may_end_them(sampler: Sampler) -> None:
    seen: list[tuple[int, int]] = []
    sampler.sample(
        sampler.recipe(),
        range(5),
        {"label": [0] * 5},
        batch_size=2,
        on_step=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i, 12) for i in range(1, 13)]

    def enough(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.sample(sampler.recipe(), [0], {"label": [0]}, on_step=enough)


@pytest.mark.parametrize("kind", ["ddim", "heun", "dpmpp_2s", "unipc_2", "predictor_corrector", "langevin"])
@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("interval", [None, (0.3, 0.7), (0.01, 0.02)])
def test_cost_is_what_the_network_is_asked(
    sampler: Sampler,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    weight: float,
    interval: tuple[float, float] | None,
) -> None:
    asked = []
    run = sampler._net

    def counting(x: Any, t: Any, cond: Any) -> Any:
        asked.append(len(x))
        return run(x, t, cond)

    monkeypatch.setattr(sampler, "_net", counting)
    chosen, guidance = named(kind, 10, None), GuidanceConfig(weight, interval, 0.0)
    recipe = sampler.recipe(chosen, guidance=guidance)
    sampler.sample(recipe, [0, 1, 2], {"label": [0, 1, 2]})
    assert recipe.cost(3) == sum(asked)


def test_cost_of_guidance_depends_on_where_it_acts(sampler: Sampler) -> None:
    def cost(weight: float, interval: tuple[float, float] | None) -> int:
        return sampler.recipe(named("ddim", 10, None), guidance=GuidanceConfig(weight, interval, 0.0)).cost(3)

    assert cost(0.0, None) == cost(0.0, (0.25, 0.75)) == 30
    assert cost(0.5, None) == 60
    assert cost(0.5, (0.0, 0.5)) == 45  # levels 50, 45, ... 5 of 50; 25 to 5 lie in the lower half


def test_a_model_without_labels_takes_none(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b", conditional=False, sample=tiny_sample_config(guidance=0.5))
    sampler = Sampler.open(tmp_path / "b", "cpu")
    assert sampler.sample(sampler.recipe(), [0, 1]).shape == (2, 1, 8, 8)
    with pytest.raises(ParamsError, match=r"label: .*trained without.*leave it out"):
        sampler.sample(sampler.recipe(), [0], {"label": [1]})
    with pytest.raises(ParamsError, match=r"guidance: must be 0 for a model without labels, got 1"):
        sampler.recipe(guidance=1.0)


def test_golden_sample_comes_out_again_and_another_model_is_found(sampler: Sampler, tmp_path: Path) -> None:
    assert sampler.check_golden() == "equal"
    other = tiny_bundle(tmp_path / "other", model=tiny_graph(tiny_spec(), seed=1))
    assert Sampler(other, "cpu").check_golden() == "none"
    object.__setattr__(other, "golden", sampler.bundle.golden)
    with pytest.raises(IntegrityError, match=r"the golden sample must come out as when"):
        Sampler(other, "cpu").check_golden()


class TestDevice:
    def test_auto_takes_the_cpu_without_noise_where_no_gpu_answers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(onnx_denoiser, "gpu_count", lambda: 0)
        tiny_bundle(tmp_path / "b")
        assert Sampler.open(tmp_path / "b", "auto").device == "cpu"
        assert capfd.readouterr() == ("", "")

    def test_cuda_without_a_gpu_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnx_denoiser, "gpu_count", lambda: 0)
        tiny_bundle(tmp_path / "b")
        with pytest.raises(
            DeviceError, match=r"cuda was asked for, but (no NVIDIA driver|this onnxruntime).*take auto"
        ):
            Sampler.open(tmp_path / "b", "cuda")

    def test_unknown_devices_and_no_threads_are_refused(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "b")
        with pytest.raises(DeviceError, match=r"must be auto, cpu or cuda, got 'tpu'"):
            Sampler(bundle, "tpu")
        with pytest.raises(ParamsError, match=r"threads: must be at least 1, got 0"):
            Sampler(bundle, "cpu", 0)


NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "mlflow", "prefect", "onnx", "dvc", "pandas", "matplotlib"):
            raise ImportError(f"{name} is not to be imported here")
sys.meta_path.insert(0, Refuse())
from pipelines.cli import main
code = main(["sample", "--bundle", sys.argv[1], "--n", "4", "--out", sys.argv[2], "--device", "cpu"])
import pipelines.serving.app
assert "torch" not in sys.modules
sys.exit(code)
"""


def test_sampling_and_the_service_need_no_torch(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b")
    command = [sys.executable, "-c", NO_TORCH, str(tmp_path / "b"), str(tmp_path / "grid.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_a_sample_without_a_label_has_the_pseudo_class_of_its_seed(tmp_path: Path) -> None:
    plain = replace(tiny_spec(), conditions={})
    spec = with_pseudo_classes(plain, [2, 1, 1])
    tiny_bundle(tmp_path / "b", spec=spec)
    sampler = Sampler.open(tmp_path / "b", "cpu")
    recipe, classes = sampler.recipe(guidance=1.0), drawn(spec, np.full(len(SEEDS), 3), SEEDS)
    assert len(set(classes.tolist())) > 1
    untold = sampler.sample(recipe, SEEDS)
    np.testing.assert_array_equal(untold, sampler.sample(recipe, SEEDS, {"label": classes.tolist()}))
    np.testing.assert_array_equal(untold, sample_in_parallel(sampler, recipe, SEEDS, processes=2, batch_size=3))
