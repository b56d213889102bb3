"""The files that run the service in containers name only what exists: metrics, files, settings, paths, a user."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from ddpm_core.errors import ParamsError
from pipelines.serving.ops.assemble import OPEN_PATHS
from pipelines.serving.ops.facts import RequestFacts
from pipelines.serving.ops.settings import OPTIONS, resolve
from tests.support.imports import ROOT
from tests.support.operated import MODEL, metrics_of

FOLDER = ROOT / "infra" / "serving"


def yaml(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((FOLDER / name).read_text())


def steps() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (FOLDER / "Containerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def variables() -> dict[str, str]:
    given = re.findall(r"(\w+)=(\S+)", " ".join(rest for word, rest in steps() if word == "ENV"))
    return {name: value for name, value in given if name.startswith("DDPM_SERVE_")}


def known_metrics() -> set[str]:
    """All names of /metrics; those of series that need a label value are named by their family."""
    names: set[str] = set()
    for family in text_string_to_metric_families(metrics_of(MODEL).text("")[0].decode()):
        names |= {sample.name for sample in family.samples}
        names |= {family.name + "_total"} if family.type == "counter" else set()
        names |= {family.name + end for end in ("_bucket", "_sum", "_count")} if family.type == "histogram" else set()
    return names


def test_each_query_of_the_dashboard_names_metrics_that_exist() -> None:
    board = json.loads((FOLDER / "grafana" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\b(?:ddpm|process)_\w+", query)}
    assert len(queries) >= len(board["panels"]) >= 8
    assert asked <= known_metrics()
    ours = {re.sub("_(bucket|sum|count|total|info|created)$", "", name) for name in known_metrics() if "ddpm" in name}
    assert {name for name in ours if not any(each.startswith(name) for each in asked)} <= {"ddpm_ready"}


def test_labels_in_queries_exist_too() -> None:
    text = metrics_of(MODEL)
    text.request("/v1/images", 200, 1.0, RequestFacts("x"))
    labels = {
        label
        for family in text_string_to_metric_families(text.text("")[0].decode())
        for sample in family.samples
        for label in sample.labels
    } | {"model", "outcome"}
    board = json.loads((FOLDER / "grafana" / "dashboard.json").read_text())
    for query in [target["expr"] for panel in board["panels"] for target in panel["targets"]]:
        grouped = {name.strip() for group in re.findall(r"by \(([^)]*)\)", query) for name in group.split(",")}
        assert grouped | set(re.findall(r"(\w+)[!=]~?\"", query)) <= labels, query


def test_the_image_is_of_the_locked_packages_and_runs_without_rights() -> None:
    words = steps()
    text = " ".join(rest for _, rest in words)
    assert "--require-hashes -r requirements-serve.lock" in text
    assert "torch" not in text
    (user,) = [rest for word, rest in words if word == "USER"]
    assert int(user.split(":")[0]) > 0
    for word, rest in words:
        if word == "COPY" and "--from" not in rest:
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    assert words[-1] == ("ENTRYPOINT", '["ddpm", "serve"]')


def test_the_health_check_asks_a_path_that_needs_no_key() -> None:
    (check,) = [rest for word, rest in steps() if word == "HEALTHCHECK"]
    (address,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/[\w/]+)", check)
    assert address[1] in OPEN_PATHS
    assert int(address[0]) == next(option.default for option in OPTIONS if option.name == "port")
    assert json.loads(re.findall(r"CMD (\[.*\])", check)[0])[0] == "python"  # no shell


def test_what_the_image_and_the_compose_file_set_are_settings_that_go_together() -> None:
    service = yaml("compose.yaml")["services"]["ddpm"]
    settings = resolve({}, {**variables(), **service["environment"]}, {}, "")
    assert (settings.bundle, settings.allow_anonymous, settings.log_format) == ("/bundle", True, "json")
    with pytest.raises(ParamsError, match="host"):  # alone the image refuses to be open to all
        resolve({}, variables(), {}, "")


def test_the_compose_file_gives_the_service_nothing_that_it_does_not_need() -> None:
    composed = yaml("compose.yaml")
    service = composed["services"]["ddpm"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    for each in composed["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in each["ports"])
        for volume in each["volumes"]:
            source = volume.split(":")[0]
            if source not in composed["volumes"] and source != "../../out/bundle":
                assert (FOLDER / source).is_file(), source


def test_prometheus_scrapes_the_service_and_grafana_shows_its_board() -> None:
    (job,) = yaml("prometheus.yml")["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["static_configs"][0]["targets"] == ["ddpm:8000"]
    (source,) = yaml("grafana/sources.yaml")["datasources"]
    board = json.loads((FOLDER / "grafana" / "dashboard.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    folder = yaml("grafana/boards.yaml")["providers"][0]["options"]["path"]
    volumes = yaml("compose.yaml")["services"]["grafana"]["volumes"]
    assert any(Path(volume.split(":")[1]).parent == Path(folder) for volume in volumes)
