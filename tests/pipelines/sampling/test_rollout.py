"""A bundle of two graphs is sampled column by column: same bytes alone and in any batch, cost and steps counted."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.bundle.format import BUNDLE_FILE, read_bundle
from ddpm_core.diffusion.noise import initial
from ddpm_core.errors import IntegrityError, ParamsError
from ddpm_core.files import json_bytes, sha256_bytes, sha256_file
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE
from ddpm_core.samplers.config import named
from pipelines.evaluation.authenticity import check_bundle
from pipelines.sampling import cost
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.editing import Editor
from pipelines.sampling.parallel import sample_in_parallel
from tests.support.rollout_bundle import PROCEDURE, SPEC, H, K, conditions, rollout_bundle

SEEDS = [3, 1, 4, 1, 5, 9, 2**64 - 1]
COND = conditions(len(SEEDS))


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    rollout_bundle(folder, golden=True)
    return Sampler.open(folder, "cpu")


@pytest.mark.parametrize("kind", ["ancestral", "ddim", "dpmpp_2m"])
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_the_sample_of_a_seed_is_the_same_alone_and_in_any_batch(sampler: Sampler, kind: str, guidance: float) -> None:
    recipe = sampler.recipe(named(kind, 4, None), guidance=guidance)
    together = sampler.sample(recipe, SEEDS, COND)
    assert together.shape == (7, K, H)
    assert np.abs(np.diff(together, axis=2)).min() > 0
    for size in (1, 2, 3):
        np.testing.assert_array_equal(together, sampler.sample(recipe, SEEDS, COND, batch_size=size))
    backwards = {name: value[::-1] for name, value in COND.items()}
    np.testing.assert_array_equal(together, sampler.sample(recipe, SEEDS[::-1], backwards)[::-1])
    np.testing.assert_array_equal(together, sample_in_parallel(sampler, recipe, SEEDS, COND, processes=1, batch_size=3))


def test_it_is_the_loop_of_numpy_over_the_two_graphs(sampler: Sampler) -> None:
    """One datum by hand, with DDIM, whose rows need no noise after the first."""
    recipe = sampler.recipe(named("ddim", 3, None), guidance=0.0)
    cond = SPEC.conditions_for({name: value[:1] for name, value in COND.items()}, 1)
    x, state = np.zeros((1, K, H), np.float32), np.zeros((1, PROCEDURE.state), np.float32)
    assert sampler._encoder is not None
    for i in range(-2, H):
        state = sampler._encoder(x, np.full(1, i, np.float32), {"state": state, **cond})
        if i < 0:
            continue
        column = initial([3], (K, H))[:, :, i : i + 1]
        for row in recipe.plan.rows(sampler.bundle.parameterisation):
            out = sampler.network(row.c_in * column, np.full(1, row.time, np.float32), {"state": state})
            column = row.c_x * column + row.c_D * (row.A * column + row.B * out)
        x[:, :, i : i + 1] = column
    np.testing.assert_allclose(sampler.sample(recipe, [3], cond)[:1], SPEC.decode(x), rtol=1e-5)


def test_label_history_and_seed_each_change_the_sample(sampler: Sampler) -> None:
    recipe = sampler.recipe()
    first = {name: value[:1] for name, value in COND.items()}
    base = sampler.sample(recipe, [3], first)
    for seed, cond in ((4, first), (3, {**first, "label": [1]}), (3, {**first, "history": first["history"] + 1})):
        assert (sampler.sample(recipe, [seed], cond) != base).any()


def test_several_processes_make_the_same_bytes(sampler: Sampler) -> None:
    recipe = sampler.recipe()
    alone = sampler.sample(recipe, SEEDS, COND, batch_size=2)
    np.testing.assert_array_equal(alone, sample_in_parallel(sampler, recipe, SEEDS, COND, processes=2, batch_size=2))


def test_batches_of_one_size_alone_change_nothing(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = sampler.recipe()
    expected, sizes = sampler.sample(recipe, SEEDS, COND), set()

    def spied(net: Any) -> Callable[..., Any]:
        def ask(x: Any, t: Any, cond: Any) -> Any:
            sizes.add(len(x))
            return net(x, t, cond)

        return ask

    monkeypatch.setattr(sampler, "_net", spied(sampler._net))
    monkeypatch.setattr(sampler, "_encoder", spied(sampler._encoder))
    monkeypatch.setattr(sampler, "device", "cuda")
    np.testing.assert_array_equal(expected, sampler.sample(recipe, SEEDS, COND, gpu_batch=4))
    assert sizes == {4}


def test_cost_and_steps_count_every_column(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = sampler.recipe(named("ddim", 5, None), guidance=0.0)
    assert (recipe.cost(2), recipe.rows) == (2 * 5 * H, 5 * H)
    assert sampler.recipe(named("ddim", 5, None), guidance=1.0).cost(2) == 2 * 2 * 5 * H
    seen: list[tuple[int, int]] = []
    sampler.sample(recipe, SEEDS, COND, batch_size=4, on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 2 * 5 * H) for i in range(1, 2 * 5 * H + 1)]
    caplog.set_level(logging.INFO, "pipelines")
    assert 0 < cost.seconds_an_evaluation(sampler, 64) < 10


def test_the_golden_sample_is_made_again(sampler: Sampler) -> None:
    assert sampler.check_golden() == "equal"
    assert sampler.golden_difference() == 0


def test_what_needs_one_loop_refuses_a_rollout(sampler: Sampler) -> None:
    editor = Editor(sampler, sampler.recipe(), 1, {name: value[:1] for name, value in COND.items()})
    with pytest.raises(ParamsError, match=r"sampled in one loop.*column after column"):
        editor.vary(np.zeros((K, H), np.float32), [0], 0.5)


# ------------------------------------------------------------------------------------------------------- the files


def test_a_bundle_of_two_graphs_reads_back(tmp_path: Path) -> None:
    written = rollout_bundle(tmp_path / "b", golden=True)
    read = read_bundle(tmp_path / "b")
    assert read.digest == written.digest == sha256_file(tmp_path / "b" / BUNDLE_FILE)
    assert (read.procedure, read.contents, read.golden) == (PROCEDURE, written.contents, written.golden)
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [BUNDLE_FILE, ENCODER_FILE, MODEL_FILE]
    told = json.loads((tmp_path / "b" / BUNDLE_FILE).read_bytes())
    assert told["procedure"] == {"kind": "rollout", "state": 4, "warm_up": 2}
    names = [[each["name"] for each in graph["inputs"]] for graph in (told["model"], told["graphs"][ENCODER_FILE])]
    assert names == [["x", "t", "state"], ["x", "position", "history", "label", "state"]]


def test_every_flipped_bit_of_any_file_is_found(tmp_path: Path) -> None:
    rollout_bundle(tmp_path / "b")
    draw = np.random.default_rng(0)
    for name in (BUNDLE_FILE, MODEL_FILE, ENCODER_FILE):
        file = tmp_path / "b" / name
        whole = file.read_bytes()
        for place in draw.integers(0, len(whole) * 8, 60):
            broken = bytearray(whole)
            broken[place // 8] ^= 1 << (place % 8)
            file.write_bytes(bytes(broken))
            with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
                read_bundle(tmp_path / "b")
        file.write_bytes(whole)
    read_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"procedure": {"kind": "walk", "state": 4, "warm_up": 2}}, r"must say only what"),
        ({"procedure": {"kind": "rollout", "state": 4}}, r"cannot be read as one"),
        ({"procedure": {"kind": "rollout", "state": 5, "warm_up": 2}}, r"must say only what"),
        ({"procedure": None}, r"graphs must be \[\]"),
        ({"graphs": None}, r"graphs must be \['encoder.onnx'\]"),
        ({"graphs": {"../encoder.onnx": {}}}, r"graphs must be \['encoder.onnx'\]"),
        ({"graphs": {"encoder.onnx": {"file": "../encoder.onnx", "bytes": 3}}}, r"must name the file encoder.onnx"),
    ],
)
def test_a_forged_procedure_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    rollout_bundle(tmp_path / "b")
    file = tmp_path / "b" / BUNDLE_FILE
    content = {**json.loads(file.read_bytes()), **change}
    content = {name: value for name, value in content.items() if value is not None and name != "content_sha256"}
    content = {"golden": None, **content}
    file.write_bytes(json_bytes({**content, "content_sha256": sha256_bytes(json_bytes(content))}))
    with pytest.raises(IntegrityError, match=said):
        read_bundle(tmp_path / "b")


def test_graphs_that_do_not_fit_the_procedure_are_refused(sampler: Sampler) -> None:
    bundle = sampler.bundle
    with pytest.raises(ParamsError, match=r"graphs: must be model.onnx, encoder.onnx, got model.onnx"):
        replace(bundle, others={})
    swapped = replace(bundle, model=bundle.others[ENCODER_FILE], others={ENCODER_FILE: bundle.model})
    with pytest.raises(IntegrityError, match=r"model.onnx: must take"):
        Sampler(swapped, "cpu")
    twice = replace(bundle, others={ENCODER_FILE: bundle.model})
    with pytest.raises(IntegrityError, match=r"encoder.onnx: must take"):
        Sampler(twice, "cpu")


def test_a_measurement_knows_the_files_of_its_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    digest = rollout_bundle(folder).digest
    check_bundle(folder, digest, tmp_path / "record.json")
    (folder / "other").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"other: must be gone"):
        check_bundle(folder, digest, tmp_path / "record.json")
    (folder / "other").unlink()
    (folder / ENCODER_FILE).write_bytes(b"no graph")
    with pytest.raises(IntegrityError, match=r"encoder.onnx: must have SHA-256"):
        check_bundle(folder, digest, tmp_path / "record.json")
