"""Data that are no pictures: points of a CSV from the file to the champion and to JSON over HTTP."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from pipelines.params import read_yaml
from pipelines.projects.presets import presets
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from tests.support.project import STAGES, Done, Project, merged, project_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# A run of seconds: the network still throws some points too far and beside their ring, so two limits are wider.
SMALL = {
    "model": {"width": 32, "blocks": 2},
    "train": {"steps": 600, "batch_size": 128, "sample_every": 300, "checkpoint_every": 300},
    "sample": {"sampler": {"steps": 20}},
    "evaluate": {"floor_draws": 2, "resamples": 40, "directions": 16},
    "reference": {"control_points": 100},
    "gate": {"min_samples": 50, "max_distance_ratio": None, "max_accuracy_loss": None, "max_broken_excess": 0.1},
    "runtime": {"device": "cpu", "threads": 1},
}


def write_rings(path: Path, count: int) -> None:
    """Two rings of 10 and of 20 about (100, -50), with three rows that cannot be used."""
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "east", "north", "ring"])
        for number in range(count):
            radius, angle = 10.0 * (1 + number % 2) + rng.normal(), rng.uniform(0, 2 * np.pi)
            place = (100 + radius * np.cos(angle), -50 + radius * np.sin(angle))
            writer.writerow([number, *place, ("inner", "outer")[number % 2]])
        writer.writerows([["a", "?", 0, "inner"], ["b", 1], ["c", 1, 2, ""]])


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    folder = tmp_path_factory.mktemp("rings")
    write_rings(folder / "rings.csv", 1200)
    source = {
        "kind": "csv",
        "path": str(folder / "rings.csv"),
        "x": "east",
        "y": "north",
        "class_column": "ring",
        "classes": None,
        "delimiter": ",",
        "max_rows": 10_000,
        "max_megabytes": 1.0,
    }
    params = merged(read_yaml(presets()["points"]), SMALL)
    project = project_of(folder, merged(params, {"source": source}))
    return project, project.ddpm("run")


def test_a_csv_goes_to_champion_with_params_alone(rings: tuple[Project, Done]) -> None:
    project, done = rings
    assert done.code == 0, done.text
    assert done.ran() == list(STAGES)
    assert "1203 found = 1200 accepted + 3 quarantined" in done.text
    assert "is the first champion" in done.text
    assert "Traceback" not in done.text
    gate = json.loads(project.read("out/gate.json"))
    assert gate["outcome"] == "pass"
    assert {control["outcome"] for control in gate["controls"] if control["gross"]} == {"fail"}
    reasons = [json.loads(line)["reason"] for line in project.read("data/quarantine/quarantine.jsonl").splitlines()]
    assert [reason.split(" ")[0] for reason in reasons] == ["'?'", "2", "nothing"]


def test_a_second_run_runs_nothing(rings: tuple[Project, Done]) -> None:
    done = rings[0].ddpm("run")
    assert (done.code, done.ran(), done.unchanged()) == (0, [], list(STAGES))


def test_the_report_shows_points_and_no_word_of_pictures(rings: tuple[Project, Done]) -> None:
    page = rings[0].read("out/report/report.md").decode()
    for name in ("samples.png", "unseen_points.png", "marginal_x.png", "marginal_y.png"):
        assert name in page
        assert (rings[0].root / "out" / "report" / name).is_file()
    assert not [word for word in ("pixel", "picture", "image") if word in page.lower()]


def test_samples_of_a_class_lie_on_its_ring(rings: tuple[Project, Done]) -> None:
    project, _ = rings
    done = project.ddpm("sample", "--n", "100", "--label", "outer", "--out", "outer.csv")
    assert done.code == 0, done.text
    with (project.root / "outer.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    radius = [np.hypot(float(row["x"]) - 100, float(row["y"]) + 50) for row in rows]
    assert np.median(radius) == pytest.approx(20, abs=2)
    assert {row["label"] for row in rows} == {"1"}
    for name, start in (("p.json", b"{"), ("p.npz", b"PK"), ("p.png", b"\x89PNG")):
        assert project.ddpm("sample", "--n", "3", "--out", name).code == 0
        assert project.read(name).startswith(start)


def test_the_champion_s_points_are_served_as_json(rings: tuple[Project, Done]) -> None:
    sampler = Sampler.open(rings[0].root / "out" / "bundle", device="cpu", threads=1)
    limits = Limits(cost=10_000, waiting=2, at_once=1, seconds=60.0, body_bytes=4096)
    with TestClient(create_app(sampler, limits)) as client:
        found = client.post("/v1/points", json={"n": 50, "label": "inner", "seed": 7}).json()["points"]
    assert [point["seed"] for point in found] == list(range(7, 57))
    radius = [np.hypot(point["x"] - 100, point["y"] + 50) for point in found]
    assert np.median(radius) == pytest.approx(10, abs=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": {"x": "easting"}}, "source.x: "),
        ({"source": {"path": "no/such.csv"}}, "source.path: "),
        ({"train": {"augment": {"flip": 1}}}, "train.augment.flip: unknown key"),
        ({"model": {"kind": "unet"}}, "model."),
    ],
)
def test_what_a_user_gets_wrong_is_told_by_its_key(
    changes: dict[str, object], message: str, rings: tuple[Project, Done]
) -> None:
    project, before = rings[0], rings[0].read("params.yaml")
    project.set_params(changes)
    done = project.ddpm("run")
    (project.root / "params.yaml").write_bytes(before)
    assert done.code in (1, 2), done.text
    assert message in done.text
    assert "Traceback" not in done.text
