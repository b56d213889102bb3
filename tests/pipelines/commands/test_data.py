"""`ddpm data`: what is accepted, what is refused, and what the difference of two data sets says."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_core.errors import ContractFailed
from pipelines import cli
from pipelines.stages import validate
from tests.support.pictures import CONTRACT, Project, file_bytes, png, write

GOOD = {f"{'ab'[number % 2]}/{number}.png": png(number, side=12) for number in range(40)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write(tmp_path / "raw", GOOD)
    made = Project(tmp_path)
    made.prepare()
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    return made


def ddpm(*words: str | Path) -> int:
    return cli.main(["data", *map(str, words)])


def test_validated_data_are_accepted_and_said_to_be_so(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.validate()
    assert ddpm("accept", "--project", project.paths.root) == 0
    assert project.paths.accepted.read_bytes() == (project.paths.validation / "summary.json").read_bytes()
    assert "accepted 40 pictures" in capsys.readouterr().err
    assert ddpm("accept", "--project", project.paths.root) == 0
    assert "brightness          0.000" in capsys.readouterr().err  # beside those that were accepted before


def test_what_was_not_validated_is_not_accepted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert ddpm("accept", "--project", project.paths.root) == 1
    assert "must hold validated data, but there are none; run `ddpm run`" in capsys.readouterr().err
    project.validate()
    (project.raw / "a" / "0.png").unlink()
    project.prepare()
    assert ddpm("accept", "--project", project.paths.root) == 1
    assert "must be about the prepared data, but is about others" in capsys.readouterr().err
    assert not project.paths.accepted.exists()


def test_data_whose_validation_was_stopped_half_way_are_not_accepted_as_those_before(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.validate()
    (project.raw / "a" / "0.png").unlink()
    project.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(validate, "write_examples", _stopped)
        with pytest.raises(KeyboardInterrupt):
            project.validate()
    assert ddpm("accept", "--project", project.paths.root) == 1
    assert "must be about the prepared data, but is about others" in capsys.readouterr().err


def _stopped(*_given: object) -> None:
    raise KeyboardInterrupt


def test_data_that_break_the_contract_are_not_accepted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.contract = replace(CONTRACT, min_train_images=1000)
    with pytest.raises(ContractFailed):
        project.validate()
    assert ddpm("accept", "--project", project.paths.root) == 4
    assert "cannot be accepted: train has at least 1,000" in capsys.readouterr().err
    assert not project.paths.accepted.exists()


def test_two_folders_are_compared_datum_by_datum_and_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write(tmp_path / "a", GOOD)
    dark = np.random.default_rng(3).integers(0, 90, (40, 12, 12, 3), dtype=np.uint8)
    new = {f"{'ab'[n % 2]}/new <b>{n}.png": file_bytes(Image.fromarray(each), "PNG") for n, each in enumerate(dark)}
    b = write(tmp_path / "b", {**dict(list(GOOD.items())[:10]), **new, "a/broken.png": b"none"})
    page = tmp_path / "page.html"
    assert ddpm("diff", a, b, "--page", page) == 0
    text = capsys.readouterr().out
    assert f"A  {a}: 40 pictures, 0 quarantined" in text
    assert f"B  {b}: 50 pictures, 1 quarantined" in text
    assert "by content, both have 10; only A 30, only B 40" in text
    assert text.count("\nbrightness") == 1
    html = page.read_text()
    assert html.count("data:image/png;base64,") == 2
    assert "new &lt;b&gt;" in html
    assert "new <b>" not in html
    assert ddpm("diff", a, b, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["contents"] == {"both": 10, "only_a": 30, "only_b": 40}
    found = {each["name"]: each for each in content["measures"]}
    assert found["brightness"]["value"] > 0.7
    assert found["number of examples"]["value"] == 0.0
    assert 0 < found["features"]["interval"]["low"] < found["features"]["value"] < found["features"]["interval"]["high"]


def test_accepted_data_are_compared_with_a_folder(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.validate()
    shutil.copy(project.paths.validation / "summary.json", tmp_path / "before.json")
    same = write(tmp_path / "same", GOOD)
    assert ddpm("diff", tmp_path / "before.json", same) == 0
    text = capsys.readouterr().out
    assert "by content" not in text
    assert "label shares        0.000" in text


def test_what_cannot_be_compared_is_told_with_its_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path / "good", GOOD)
    empty = tmp_path / "empty"
    empty.mkdir()
    table = tmp_path / "points.csv"
    table.write_text("x,y\n" + "".join(f"{number / 7},{number * number / 11}\n" for number in range(400)))
    none = tmp_path / "none.json"
    none.write_text('{"format": 1, "data": null}')
    bad = write(tmp_path / "bad", {"a/1.png": b"no", "b/2.png": b"neither"})
    for words, code, told in (
        ((tmp_path / "nothing", good), 2, "A: "),
        ((good, tmp_path / "nothing"), 2, "must be data, a project or an accepted.json, but there is nothing"),
        ((empty, good), 1, f"A: {empty} must hold pictures"),
        ((good, empty), 1, f"B: {empty} must hold pictures, but no file in it"),
        (
            (good, bad),
            1,
            "must hold at least one example that can be used, but it holds none; the first: a/1.png: not a picture",
        ),
        ((none, good), 1, "none were accepted yet; run `ddpm data accept`"),
    ):
        assert ddpm("diff", *words) == code, words
        assert told in capsys.readouterr().err, words
    assert ddpm("diff", table, good) == 1
    assert f"B: {good}" in capsys.readouterr().err


def test_names_that_would_steer_a_terminal_are_printed_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{name}/{number}.png": png(number) for number in range(20) for name in ("a\x1b[31m", "b\nc")}
    folder = write(tmp_path / "odd", files)
    assert ddpm("diff", folder, folder) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "a\\x1b[31m 50.0%, b\\nc 50.0%" in text


def test_raw_data_are_read_where_init_would_read_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder around the folder of the classes, and tables given by their file, whatever it is called."""
    for side, table in (("a", "old.csv"), ("b", "new.csv")):
        write(tmp_path / side / "pets", GOOD)
        rows = "".join(f"pets/{name},{name[0]}\n" for name in GOOD)
        write(tmp_path / f"{side} table", {table: f"file,label\n{rows}".encode(), **_below("pets", GOOD)})
    assert ddpm("diff", tmp_path / "a", tmp_path / "b") == 0
    folders = capsys.readouterr().out
    assert ddpm("diff", tmp_path / "a table" / "old.csv", tmp_path / "b table" / "new.csv") == 0
    tables = capsys.readouterr().out
    assert ddpm("diff", tmp_path / "b" / "pets", tmp_path / "a") == 0
    for text in (folders, tables, capsys.readouterr().out):
        assert "by content, both have 40; only A 0, only B 0" in text
        assert "label shares        0.000     [0.000, 0.339]  a 50.0%, b 50.0%" in text


def _below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}
