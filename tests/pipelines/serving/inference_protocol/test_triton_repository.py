"""A model repository for Triton: its configs keep to Triton's schema, and its graphs are as the configs say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from pipelines import cli
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.one_graph import feeds
from pipelines.sampling.onnx_denoiser import run_graph
from tests.support.points_bundle import points_bundle
from tests.support.rollout_bundle import rollout_bundle
from tests.support.tiny_bundle import tiny_bundle
from tests.support.triton_config import DTYPES, blank, data_type, parsed, read

MODEL = Path("1") / "model.onnx"


def written(bundle: Path, out: Path, *options: str) -> dict[str, Any]:
    """The configs by model of a repository that the command wrote."""
    assert cli.main(["bundle", "triton", str(out), "--bundle", str(bundle), *options]) == 0
    assert all((folder / MODEL).is_file() for folder in out.iterdir())
    return {folder.name: read(folder) for folder in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "b"
    tiny_bundle(folder)
    return folder


def test_a_sampler_and_its_network_are_described(bundle: Path, tmp_path: Path) -> None:
    configs = written(bundle, tmp_path / "models")
    assert list(configs) == ["ddpm", "ddpm.network"]
    wanted = {
        "ddpm": ([("x_T", "TYPE_FP32", [1, 8, 8]), ("label", "TYPE_INT64", [1])], ("samples", "TYPE_UINT8")),
        "ddpm.network": (
            [("x", "TYPE_FP32", [1, 8, 8]), ("t", "TYPE_FP32", [1]), ("label", "TYPE_INT64", [1])],
            ("out", "TYPE_FP32"),
        ),
    }
    for name, config in configs.items():
        inputs, output = wanted[name]
        assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 64)
        assert config.HasField("dynamic_batching")
        assert [(each.name, data_type(config, each), list(each.dims)) for each in config.input] == inputs
        assert [(each.name, data_type(config, each)) for each in config.output] == [output]
        scalars = [each.name for each in config.input if each.HasField("reshape")]
        assert scalars == [each.name for each in config.input if list(each.dims) == [1]]  # each comes as [n, 1]


@pytest.mark.parametrize("options", [(), ("--sampler", "ancestral", "--steps", "5"), ("--guidance", "1.5")])
@pytest.mark.parametrize("kind", ["pictures", "points"])
def test_the_graphs_are_as_the_configs_say(kind: str, options: tuple[str, ...], tmp_path: Path) -> None:
    (tiny_bundle if kind == "pictures" else points_bundle)(tmp_path / "b")
    if kind == "points" and "--guidance" in options:
        options = ()  # it is told nothing
    for name, config in written(tmp_path / "b", tmp_path / "models", *options).items():
        for n in (1, 3):
            made = run_graph((tmp_path / "models" / name / MODEL).read_bytes(), blank(config, n))
            (output,) = config.output
            assert made.dtype == DTYPES[data_type(config, output)]
            dims = list(output.dims) if config.max_batch_size else list(output.dims)[1:]
            assert list(made.shape) == [n, *dims]


def test_what_draws_noise_is_not_batched(bundle: Path, tmp_path: Path) -> None:
    """The noise has the data on its second axis."""
    config = written(bundle, tmp_path / "models", "--sampler", "ancestral", "--steps", "4")["ddpm"]
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert {each.name: list(each.dims) for each in config.input} == {
        "x_T": [-1, 1, 8, 8],
        "label": [-1],
        "noise": [4, -1, 1, 8, 8],
    }
    assert not any(each.HasField("reshape") for each in config.input)


def test_the_written_sampler_samples(bundle: Path, tmp_path: Path) -> None:
    written(bundle, tmp_path / "models", "--name", "digits", "--max-batch", "8", "--steps", "6", "--guidance", "1")
    sampler = Sampler.open(bundle, "cpu")
    recipe, cond = sampler.recipe(steps=6, guidance=1.0), {"label": [2, None]}
    graph = (tmp_path / "models" / "digits" / MODEL).read_bytes()
    made = run_graph(graph, feeds(sampler.bundle, recipe, [4, 5], cond))
    np.testing.assert_allclose(made.astype(int), sampler.sample(recipe, [4, 5], cond), atol=1)
    assert read(tmp_path / "models" / "digits.network").max_batch_size == 8
    assert (tmp_path / "models" / "digits.network" / MODEL).read_bytes() == sampler.bundle.model
    first = (tmp_path / "models" / "digits" / "config.pbtxt").read_text().splitlines()[0]
    assert first == f"# bundle {sampler.bundle.digest}, sampler ddim, steps 6, guidance 1"


def test_the_same_choices_give_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(bundle, tmp_path / name)
    for file in (tmp_path / "a").rglob("*.*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.parametrize(
    ("form", "out", "options", "word"),
    [
        ("triton", "models", ("--name", "a/b"), "--name"),
        ("triton", "models", ("--name", 'a"b'), "--name"),
        ("triton", "models", ("--max-batch", "0"), "--max-batch"),
        ("triton", "file", (), "OUT"),
        ("onnx", "s.onnx", ("--name", "a"), "--name"),
        ("onnx", "s.onnx", ("--max-batch", "2"), "--max-batch"),
    ],
)
def test_wrong_options_are_refused_by_name(
    form: str, out: str, options: tuple[str, ...], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["bundle", form, str(tmp_path / out), "--bundle", str(tmp_path), *options]) == 2
    assert f"{word}: " in capsys.readouterr().err


def test_what_no_graph_can_say_leaves_no_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rollout_bundle(tmp_path / "b")
    assert cli.main(["bundle", "triton", str(tmp_path / "models"), "--bundle", str(tmp_path / "b")]) == 2
    assert "one loop" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_the_schema_refuses_what_it_does_not_have() -> None:
    for text in ('nmae: "a"', "max_batch_size: many", "input { data_type: TYPE_FP31 }", "input { dims: [ 1.5 ] }"):
        with pytest.raises(text_format.ParseError):
            parsed(text)
