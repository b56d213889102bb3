"""The registered model: pictures for rows, the same bytes for the same row."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.kinds.pictures.rows.decode import decode_png, encode_png
from pipelines.kinds.pictures.serving.request import ImageRequest
from pipelines.release.promotion import promote
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.tracking.mlflow_model import request_of
from pipelines.tracking.mlflow_registry import Registry
from pipelines.tracking.tracker import connect, open_tracker
from tests.support.imports import ROOT
from tests.support.tracked import FewParams, judged_project


@pytest.fixture(scope="module")
def project(store_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.support.tracked import empty_home

    root = tmp_path_factory.mktemp("served")
    paths, _ = judged_project(root / "project", empty_home(store_template, root / "state"))
    promote(FewParams(), paths, open_tracker(True, paths.home))
    return paths


@pytest.fixture(scope="module")
def registered(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the registered model, as a server fetches them, before anyone ran them and left bytecode there."""
    registry = Registry(connect(project.home), "tiny")
    champion = registry.holder("champion")
    assert champion is not None
    return registry.fetch(champion, tmp_path_factory.mktemp("registered")).parent


@pytest.fixture(scope="module")
def model(project: Any, registered: Path) -> Any:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{project.home / 'mlflow.db'}")
    yield mlflow.pyfunc.load_model("models:/tiny@champion")
    mlflow.set_tracking_uri("")
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def expected(project: Any, seeds: list[int], steps: int | None = None) -> np.ndarray:
    """Pictures of class 1 by the project's own bundle."""
    sampler = Sampler.open(project.bundle)
    return sampler.sample(sampler.recipe(steps=steps), seeds, {"label": [1] * len(seeds)})


def ask(model: Any, *rows: dict[str, Any]) -> Any:
    import pandas

    return model.predict(pandas.DataFrame(list(rows)))


def test_a_row_gives_the_pictures_of_its_seeds_and_the_same_bytes_again(project: Any, model: Any) -> None:
    row = {"n": 3, "label": 1, "seed": 5, "steps": 4}
    answer = ask(model, row)
    assert answer == ask(model, row)
    assert [(record["row"], record["seed"], record["label"]) for record in answer] == [(0, s, 1) for s in (5, 6, 7)]
    images = [decode_png(base64.b64decode(record["png_base64"])) for record in answer]
    assert np.array_equal(np.stack(images), expected(project, [5, 6, 7], steps=4))


def test_a_row_is_answered_alike_alone_and_among_others(model: Any) -> None:
    alone = ask(model, {"label": 2, "seed": 9})[0]["png_base64"]
    among = ask(
        model,
        {"n": 2, "label": -1, "seed": 0, "steps": 0},
        {"n": 1, "label": 2, "seed": 9, "steps": 0},
        {"n": 1, "label": 0, "seed": 9, "steps": 3, "sampler": "heun", "guidance": 1.0},
    )
    assert [record["row"] for record in among] == [0, 0, 1, 2]
    assert among[2]["png_base64"] == alone
    assert among[0]["label"] == -1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"n": 0}, "row 0: n: .* 1"),
        ({"n": 257}, "row 0: n: .* 256"),
        ({"label": -2}, "row 0: label: "),
        ({"seed": -1}, "row 0: seed: .* 0"),
        ({"steps": 5000}, "row 0: steps: .* 50 levels, got 5000"),
        ({"guidance": -0.5}, "row 0: guidance: .* 0"),
        ({"sampler": "hein"}, "row 0: sampler: .*'hein'.*'heun'"),
        ({"label": 77}, "row 0: label: .*77"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_reason(model: Any, row: dict[str, Any], said: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=said):
        ask(model, row)


def test_empty_cells_and_whole_numbers_that_pandas_made_floats_are_read() -> None:
    full = {"n": 2.0, "label": 1.0, "seed": 5.0, "steps": 4, "guidance": 1, "sampler": "ddim"}
    assert request_of(ImageRequest, full, 0) == ImageRequest(
        n=2, label=1, seed=5, steps=4, guidance=1.0, sampler="ddim"
    )
    empty = {"n": None, "label": -1, "seed": float("nan"), "steps": 0, "guidance": float("nan"), "sampler": None}
    assert request_of(ImageRequest, empty, 0) == request_of(ImageRequest, {}, 0) == ImageRequest(label=None)


def test_rows_that_cost_too_much_together_or_name_unknown_columns_are_refused(model: Any) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=r"n: .*256 .*over all rows.*400"):
        ask(model, {"n": 200}, {"n": 200})
    with pytest.raises(MlflowException, match=r"row 0: columns .*n, label.*colour"):
        model.unwrap_python_model().predict(None, [{"colour": "red"}])


def test_the_registered_model_names_exact_versions_of_what_its_code_imports(registered: Path) -> None:
    folder = registered
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if line]
    named = dict(line.split("==") for line in lines)
    assert set(named) == {"mlflow", "numpy", "onnxruntime", "pillow", "pydantic", "tqdm"}
    for name in set(named) - {"onnxruntime"}:
        assert named[name] == version(name)
    import onnxruntime

    assert named["onnxruntime"] == onnxruntime.__version__
    assert not list(folder.rglob("__pycache__"))


ALONE = """
import base64, json, sys
sys.path[:] = [place for place in sys.path if place not in sys.argv[3:]] + [sys.argv[2]]
sys.modules["torch"] = sys.modules["torchvision"] = None
import mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict([{"n": 2, "label": 1, "seed": 5, "steps": 4}])
import ddpm_core, pipelines
ours = [sys.modules[name].__file__ for name in sys.modules if name.split(".")[0] in ("ddpm_core", "pipelines")]
print(json.dumps({"ours": ours, "pictures": [record["png_base64"] for record in answer]}))
"""


def test_the_registered_model_runs_where_this_package_is_not(project: Any, registered: Path, tmp_path: Path) -> None:
    """In an interpreter that reads no `.pth` file, so that no installation of this checkout is on its path."""
    folder = registered
    packages = sysconfig.get_path("purelib")
    command = [sys.executable, "-I", "-S", "-c", ALONE, str(folder), packages, str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["ours"]
    assert [place for place in said["ours"] if not place.startswith(str(folder))] == []
    images = [decode_png(base64.b64decode(text)) for text in said["pictures"]]
    assert np.array_equal(np.stack(images), expected(project, [5, 6], steps=4))


def post(port: int, rows: list[dict[str, Any]]) -> bytes:
    body = json.dumps({"dataframe_records": rows}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def package_index_answers() -> bool:
    """Whether uv finds a package in the index that is configured here, whichever that is."""
    asked = [shutil.which("uv") or "uv", "pip", "compile", "--no-header", "--no-cache", "-"]
    try:
        return subprocess.run(asked, input=b"tqdm", capture_output=True, timeout=30).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def served(project: Any, folder: Path, env_manager: str, patience: float) -> Iterator[int]:
    """The port of a server of the champion that runs in `folder`, with no word of where this checkout lies."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/tiny@champion"]
    command += ["--env-manager", env_manager, "--port", str(port), "--host", "127.0.0.1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"MLFLOW_TRACKING_URI": f"sqlite:///{project.home / 'mlflow.db'}", "PATH": path}
    env |= {"MLFLOW_ENV_ROOT": str(folder / "environments")}
    with subprocess.Popen(command, env=env, cwd=folder, start_new_session=True) as server:
        try:
            deadline = time.monotonic() + patience
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                    break
                except OSError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.5)
            yield port
        finally:
            os.killpg(server.pid, 15)


@pytest.mark.slow
def test_mlflow_models_serve_answers_twice_with_the_same_bytes(project: Any, tmp_path: Path) -> None:
    with served(project, tmp_path, "local", 240) as port:
        first, second = (post(port, [{"n": 2, "label": 1, "seed": 11}]) for _ in range(2))
        assert first == second
        assert len(json.loads(first)["predictions"]) == 2
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(port, [{"n": 0}])
        assert refused.value.code == 400
        assert b"row 0: n: " in refused.value.read()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on the path")
def test_mlflow_models_serve_in_an_environment_of_its_own_gives_our_bytes(project: Any, tmp_path: Path) -> None:
    if not package_index_answers():
        pytest.skip("the package index does not answer")
    with served(project, tmp_path, "uv", 1200) as port:
        answer = json.loads(post(port, [{"n": 2, "label": 1, "seed": 11}]))["predictions"]
    environment = next((tmp_path / "environments").rglob("site-packages"))
    assert (environment / "onnxruntime").is_dir()
    assert not [name for name in ("torch", "ddpm_core", "pipelines") if (environment / name).exists()]
    assert [base64.b64decode(record["png_base64"]) for record in answer] == [
        encode_png(image) for image in expected(project, [11, 12])
    ]
