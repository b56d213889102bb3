"""`ddpm forecast` and `ddpm impute`, as a person types them: what the service answers, from a file to a file."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from pipelines.cli import main
from pipelines.projects.params_text import with_section, with_values
from pipelines.projects.presets import preset
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from tests.support.imports import ROOT
from tests.support.series_bundle import WINDOW, series_bundle, series_spec
from tests.support.tiny_bundle import tiny_bundle

TIMES = [f"2026-01-01T{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 30)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    series_bundle(folder / "forecast", series_spec("forecast"))
    series_bundle(folder / "impute", series_spec("impute"))
    series_bundle(folder / "several", series_spec("forecast", classes=("nsw", "vic")))
    tiny_bundle(folder / "pictures")
    return folder


@pytest.fixture(scope="module")
def clients(bundles: Path) -> Iterator[dict[str, Any]]:
    limits = Limits(cost=10_000, waiting=2, at_once=1, seconds=30.0, body_bytes=None)
    with (
        TestClient(create_app(Sampler.open(bundles / "forecast", "cpu"), limits)) as forecast,
        TestClient(create_app(Sampler.open(bundles / "impute", "cpu"), limits)) as impute,
    ):
        yield {"forecast": forecast, "impute": impute}


def table(rows: int = 10) -> list[tuple[str, float | None, float | None]]:
    """Time, load and temperature, with gaps."""
    gaps = {(2, 0), (5, 1), (8, 0)}
    return [
        (TIMES[row], None if (row, 0) in gaps else 100.5 + row, None if (row, 1) in gaps else 10.0 - row)
        for row in range(rows)
    ]


def as_csv(rows: list[tuple[str, float | None, float | None]], file: Path) -> Path:
    lines = [",".join("" if cell is None else str(cell) for cell in row) + ",ignored" for row in rows]
    file.write_text("\n".join(["time,load,temperature,weather", *lines]) + "\n")
    return file


def run(bundles: Path, bundle: str, *arguments: Any) -> int:
    verb, *others = (str(each) for each in arguments)
    return main([verb, "--bundle", str(bundles / bundle), "--device", "cpu", *others])


@pytest.mark.parametrize("format", ["json", "csv", "npz", "png", "parquet"])
def test_64_served_forecasts_are_the_command_s_to_the_byte(
    format: str, bundles: Path, clients: dict[str, Any], tmp_path: Path
) -> None:
    file, out = as_csv(table(), tmp_path / "history.csv"), tmp_path / f"out.{format}"
    asked = ("--horizon", "3", "--samples", "64", "--seed", "7", "--out", out)
    assert run(bundles, "forecast", "forecast", "--history", file, *asked) == 0
    body = {
        "history": [row[1:] for row in table()],
        "start": TIMES[0],
        "horizon": 3,
        "n": 64,
        "seed": 7,
        "format": format,
    }
    answer = clients["forecast"].post("/v1/forecasts", json=body)
    assert answer.status_code == 200
    assert out.read_bytes() == answer.content


def test_served_fillings_are_the_command_s_to_the_byte(bundles: Path, clients: dict[str, Any], tmp_path: Path) -> None:
    file, out = as_csv(table(2 * WINDOW + 3), tmp_path / "gaps.csv"), tmp_path / "out.json"
    assert run(bundles, "impute", "impute", file, "--samples", "8", "--batch-size", "3", "--out", out) == 0
    body = {"table": [row[1:] for row in table(2 * WINDOW + 3)], "start": TIMES[0], "n": 8}
    assert out.read_bytes() == clients["impute"].post("/v1/imputations", json=body).content


def test_a_parquet_file_is_the_same_table(bundles: Path, tmp_path: Path) -> None:
    times, load, temperature = zip(*table(), strict=True)
    moments = pa.array(np.array(times, dtype="datetime64[ns]"))
    columns = {"when": moments, "temperature": pa.array(temperature), "load": pa.array([x or np.nan for x in load])}
    pq.write_table(pa.table(columns), tmp_path / "h.parquet")
    as_csv(table(), tmp_path / "h.csv")
    for name, options in (("h.parquet", ("--time", "when")), ("h.csv", ())):
        out = ("--samples", "3", "--out", tmp_path / f"{name}.npz")
        assert run(bundles, "forecast", "forecast", "--history", tmp_path / name, *options, *out) == 0
    assert (tmp_path / "h.parquet.npz").read_bytes() == (tmp_path / "h.csv.npz").read_bytes()


def test_one_series_of_a_file_of_many_is_chosen_by_its_name(bundles: Path, tmp_path: Path) -> None:
    rows = [
        f"{time},{state},{100 + at + 50 * row},{row}"
        for row, time in enumerate(TIMES[:8])
        for at, state in enumerate(("nsw", "vic"))
    ]
    (tmp_path / "both.csv").write_text("\n".join(["time,state,load,temperature", *rows]))
    alone = [row.replace(",vic,", ",") for row in rows if ",vic," in row]
    (tmp_path / "vic.csv").write_text("\n".join(["time,load,temperature", *alone]))
    for name, options in (("both", ("--series", "state")), ("vic", ())):
        out = ("--label", "vic", "--samples", "2", "--out", tmp_path / f"{name}.json")
        assert run(bundles, "several", "forecast", "--history", tmp_path / f"{name}.csv", *options, *out) == 0
    assert (tmp_path / "both.json").read_bytes() == (tmp_path / "vic.json").read_bytes()
    assert json.loads((tmp_path / "vic.json").read_bytes())["series"] == "vic"


def test_quantiles_are_written_in_place_of_samples(bundles: Path, tmp_path: Path) -> None:
    file, out = as_csv(table(), tmp_path / "h.csv"), tmp_path / "q.csv"
    asked = ("--samples", "9", "--quantiles", "0.5,0.9", "--out", out)
    assert run(bundles, "forecast", "forecast", "--history", file, *asked) == 0
    rows = list(csv.DictReader(out.open()))
    assert list(rows[0]) == ["series", "time", "column", "quantile", "value"]
    assert {row["quantile"] for row in rows} == {"0.5", "0.9"}
    assert rows[0]["time"] == TIMES[10]


@pytest.mark.parametrize(
    ("bundle", "arguments", "said"),
    [
        ("forecast", ("sample",), "sampled by `ddpm forecast`"),
        ("impute", ("sample",), "sampled by `ddpm impute` or `ddpm forecast`"),
        ("pictures", ("forecast", "--history", "FILE"), "sampled by `ddpm sample`"),
        ("forecast", ("impute", "FILE"), "sampled by `ddpm forecast`"),
        ("forecast", ("forecast", "--history", "FILE", "--horizon", "5"), "horizon: must be from 1 to 4"),
        ("forecast", ("forecast", "--history", "FILE", "--samples", "257"), "--samples: must be from 1 to 256"),
        ("forecast", ("forecast", "--history", "FILE", "--quantiles", "half"), "--quantiles: must be numbers"),
        ("forecast", ("forecast", "--history", "FILE", "--quantiles", "1.5"), "quantiles.0: "),
        ("forecast", ("forecast", "--history", "FILE", "--out", "a.txt"), "--out: must end in "),
        ("forecast", ("forecast", "--history", "NONE"), "must be a CSV or Parquet file, got none"),
        ("forecast", ("forecast", "--history", "FILE", "--time", "when"), "must have the column 'when'"),
        ("forecast", ("forecast", "--history", "FILE", "--label", "vic"), "label: this model was trained without"),
        ("several", ("forecast", "--history", "FILE"), "label: must name the series"),
        (
            "several",
            ("forecast", "--history", "FILE", "--series", "weather", "--label", "x"),
            "--label: must be a series",
        ),
        ("forecast", ("forecast", "--history", "BAD"), "line 3, column temperature: must be a number or empty"),
        ("forecast", ("forecast", "--history", "BYTES"), "must be CSV in UTF-8"),
        ("forecast", ("forecast", "--history", "FILE", "--threads", "0"), "--threads: must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_written(
    bundle: str,
    arguments: tuple[str, ...],
    said: str,
    bundles: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    as_csv(table(), tmp_path / "FILE")
    Path("BAD").write_text("load,temperature\n1,2\n1,warm\n")
    Path("BYTES").write_bytes(b"load,temperature\n\xff,2\n")
    assert run(bundles, bundle, *arguments) == 2
    assert said in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["BAD", "BYTES", "FILE"]


GERMAN = {
    "source.time": "wann",
    "source.delimiter": ";",
    "source.decimal": ",",
    "source.time_format": "%d.%m.%Y %H:%M",
    "source.missing": ["n/a"],
    "source.series": "zone",
}


@pytest.fixture
def project(bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose own data have German times and decimals, and a bundle of series without names."""
    text = with_section(
        preset("forecast").read_text(), "source", (ROOT / "pipelines/kinds/series/profiling/series.yaml").read_text()
    )
    root = tmp_path / "project"
    (root / "out").mkdir(parents=True)
    (root / "params.yaml").write_text(with_values(text, GERMAN))
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "out" / "bundle").symlink_to(bundles / "forecast")
    monkeypatch.chdir(root)
    return tmp_path


def german(rows: list[tuple[str, float | None, float | None]], file: Path, *, delimiter: str = ";") -> Path:
    lines = [f"wann{delimiter}zone{delimiter}load{delimiter}temperature"]
    for time, *values in rows:
        when = f"{time[8:10]}.{time[5:7]}.{time[:4]} {time[11:]}"
        cells = ["n/a" if value is None else str(value).replace(".", ",") for value in values]
        lines.append(delimiter.join([when, "north", *cells]))
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_history_is_read_as_the_project_reads_its_own_data(
    bundles: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def forecast(file: Path, *options: str) -> bytes:
        out = project / f"{file.stem}.json"
        assert main(["forecast", "--history", str(file), "--samples", "3", "--out", str(out), *options]) == 0
        return out.read_bytes()

    plain = forecast(as_csv(table(), project / "plain.csv"), "--bundle", str(bundles / "forecast"))
    assert forecast(german(table(), project / "own.csv")) == plain
    assert forecast(german(table(), project / "tabs.csv", delimiter="\t"), "--label", "north") == plain
    twice = german([*table(), table()[3]], project / "twice.csv")
    assert forecast(twice) == plain
    assert "rows left out, as in stage prepare: 1; the first: twice.csv:12" in capsys.readouterr().err
    assert forecast(as_csv(table(), project / "iso.csv")) == plain


def test_a_history_that_does_not_fit_is_refused_by_the_lines_of_its_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = german(table(), project / "own.csv")
    file.write_text(file.read_text().replace(".01.2026", ".13.2026"))
    assert main(["forecast", "--history", str(file)]) == 2
    assert "own.csv:2: '01.13.2026 00:00' is no time in" in capsys.readouterr().err
    rows = as_csv([table()[0], table()[0]], project / "plain.csv")
    assert main(["forecast", "--history", str(rows)]) == 2
    assert "plain.csv: line 3, column time: must be later than the time of the row before" in capsys.readouterr().err
