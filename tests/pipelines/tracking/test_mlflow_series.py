"""The registered model of series: a row holds a table and becomes records, a value each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.spec import DataSpec
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.tracking import mlflow_model
from tests.support.series_bundle import COLUMNS, WINDOW, series_bundle, series_spec

CSV = "time,load,temperature\n2026-01-01T00:00,101.0,10.0\n2026-01-01T00:30,,9.0\n2026-01-01T01:00,99.0,8.5\n"


def loaded(folder: Path, spec: DataSpec) -> Any:
    import mlflow

    series_bundle(folder / "bundle", spec)
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=mlflow_model.__file__,
        artifacts={"bundle": str(folder / "bundle")},
        signature=mlflow_model.signature(spec),
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("series")
    return {task: loaded(folder / task, series_spec(task)) for task in ("forecast", "impute")} | {"folder": folder}


def ask(model: Any, **row: Any) -> Any:
    import pandas

    return model.predict(pandas.DataFrame([row]))


def test_a_row_with_a_history_gives_a_record_for_each_value_of_its_samples(models: dict[str, Any]) -> None:
    found = ask(models["forecast"], history=CSV, horizon=2, n=3, seed=5)
    assert found == ask(models["forecast"], history=CSV, horizon=2, n=3, seed=5)
    assert [row["seed"] for row in found[::4]] == [5, 6, 7]
    assert [row["time"] for row in found[:4:2]] == ["2026-01-01T01:30", "2026-01-01T02:00"]
    assert [row["column"] for row in found[:2]] == list(COLUMNS)
    assert {(row["row"], row["label"]) for row in found} == {(0, -1)}
    sampler = Sampler.open(models["folder"] / "forecast" / "bundle")
    asked = mlflow_model.request_of(
        mlflow_model.request_type(sampler.bundle.spec), {"history": CSV, "n": 3, "seed": 5, "horizon": 0}, 0
    ).asked_of(sampler.bundle.spec)
    own = sampler.sample(sampler.recipe(), asked.seeds, asked.cond)[:, :, :2].transpose(0, 2, 1)
    np.testing.assert_array_equal(np.array([row["value"] for row in found], np.float32).reshape(own.shape), own)


def test_a_row_with_a_table_gives_it_filled(models: dict[str, Any]) -> None:
    found = ask(models["impute"], table=CSV, n=2)
    assert len(found) == 2 * 3 * len(COLUMNS)
    assert [row["value"] for row in found[:2]] == [101.0, 10.0]
    assert WINDOW > 3


def test_a_row_without_its_table_or_with_another_column_is_refused(models: dict[str, Any]) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="row 0: history: "):
        ask(models["forecast"], n=1)
    with pytest.raises(MlflowException, match=r"row 0: history\.line 2\.load: "):
        ask(models["forecast"], history="load,temperature\nx,1\n")
    with pytest.raises(MlflowException, match=r"row 0: columns must be among .*history.*got table"):
        models["forecast"].unwrap_python_model().predict(None, [{"table": CSV}])
