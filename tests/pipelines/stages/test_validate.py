"""Stage validate: data that keep the contract pass; each way to break it stops the pipeline and names the rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ddpm_core.errors import ContractFailed, ParamsError
from pipelines.tools.manifest import read_manifest, write_manifest
from tests.support.pictures import CONTRACT, Project, file_bytes, png, write

GOOD = {f"{name}/{number}.png": png(10 * number + index) for index, name in enumerate("ab") for number in range(12)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write(tmp_path / "raw", {**GOOD, "a/words.png": b"no picture"})
    made = Project(tmp_path)
    made.prepare()
    return made


def record(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.paths.contract.read_text())
    return found


def test_good_data_pass_and_the_record_repeats_its_bytes(project: Project) -> None:
    project.validate()
    first = project.paths.contract.read_bytes()
    assert record(project)["passed"] is True
    assert record(project)["counts"] == {"found": 25, "accepted": 24, "quarantined": 1}
    assert len(record(project)["expectations"]) == sum(map(len, json.loads(project.paths.suite.read_text()).values()))
    assert (project.paths.data_docs / "index.html").is_file()
    project.validate()
    assert project.paths.contract.read_bytes() == first
    assert str(project.paths.root).encode() not in first


def test_thresholds_that_the_data_miss_stop_the_pipeline_and_are_all_told(project: Project) -> None:
    project.contract = replace(
        CONTRACT,
        min_train_images=100,
        min_test_images=101,
        min_train_images_per_class=50,
        min_test_images_per_class=51,
        max_quarantined_share=0.01,
        min_mean_level=250.0,
    )
    with pytest.raises(ContractFailed, match=r"the data break 6 of \d+ expectations") as caught:
        project.validate()
    assert caught.value.exit_code == 4
    for told in (
        "data_set: train has contract.min_train_images pictures; 1 of 1 do not: name data set, train_images 1",
        "data_set: test has contract.min_test_images pictures; 1 of 1 do not",
        "classes: every class has contract.min_train_images_per_class pictures in train; 2 of 2 do not: class_name a",
        "classes: every class has contract.min_test_images_per_class pictures in test; 2 of 2 do not",
        "files are quarantined; 1 of 25 do not: source a/words.png, reason not a picture",
        "data_set: the mean level lies between",
        "section `contract` of params.yaml",
    ):
        assert told in str(caught.value)
    assert record(project)["passed"] is False
    assert (project.paths.logs / "contract.json").read_bytes() == project.paths.contract.read_bytes()


def test_every_fault_of_a_manifest_is_told_with_its_row(project: Project) -> None:
    manifest = read_manifest(project.paths.manifest)
    train, test = manifest.of_split("train"), manifest.of_split("test")
    faulty = [
        replace(train[0], width=9),
        replace(train[1], height=10),
        replace(train[2], mode="L"),
        replace(train[3], label=7),
        replace(train[4], split="valid"),
        replace(train[5], sha256="0" * 64),
        replace(train[6], path="0/none.png"),
        replace(train[7], max=300, min=-1),
        train[9],  # in place of the eighth: twice there, and the eighth is not accounted for
        *train[9:],
        replace(test[0], pixels_sha256=train[9].pixels_sha256),
        *test[1:],
    ]
    write_manifest(project.paths.manifest, replace(manifest, rows=faulty[:-1]))
    with pytest.raises(ContractFailed) as caught:
        project.validate()
    for told in (
        f"every picture is as wide as the data set; 1 of 23 do not: key {train[0].key}, source",
        f"source {train[0].source}, width 9",
        f"every picture is as high as the data set; 1 of 23 do not: key {train[1].key}",
        f"every picture has the channels of the data set; 1 of 23 do not: key {train[2].key}",
        f"-1 where it has none; 1 of 23 do not: key {train[3].key}, source {train[3].source}, label 7",
        f"every picture is in train or in test; 1 of 23 do not: key {train[4].key}",
        f"key {train[5].key}, source {train[5].source}, file changed",
        f"key {train[6].key}, source {train[6].source}, file missing",
        f"the brightest level of every picture is one of 0 to 255; 1 of 23 do not: key {train[7].key}",
        f"the darkest level of every picture is one of 0 to 255; 1 of 23 do not: key {train[7].key}",
        f"every picture has a key of its own; 2 of 23 do not: key {train[9].key}",
        "no picture of test has the very pixels of one of train; 3 of 23 do not",
        "every picture found is either accepted or quarantined; 1 of 1 do not",
    ):
        assert told in str(caught.value)


def test_copies_flat_pictures_and_imbalance_are_named_up_to_a_number(tmp_path: Path) -> None:
    flat = {f"a/flat{number}.png": grey(number) for number in range(5)}
    copies = {f"a/copy{number}.png": png(3) for number in range(6)}
    write(tmp_path / "raw", {**GOOD, **flat, **copies})
    project = Project(tmp_path)
    project.prepare()
    project.contract = replace(CONTRACT, max_duplicate_share=0.01, max_flat_share=0.01, max_class_imbalance=1.5)
    with pytest.raises(ContractFailed) as caught:
        project.validate()
    message = str(caught.value)
    assert "repeat the very pixels of another; 5 of 35 do not: key " in message
    assert "are of one level throughout; 5 of 35 do not: key " in message
    assert message.count("; and 2 more") == 2  # rows_named is 3
    assert "no class is more than contract.max_class_imbalance times smaller" in message


def grey(level: int) -> bytes:
    return file_bytes(Image.new("RGB", (12, 12), (level, level, level)), "PNG")


def test_labels_that_disagree_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "raw", {**GOOD, "b/same.png": GOOD["a/1.png"]})
    project = Project(tmp_path)
    project.prepare()
    project.validate()
    assert record(project)["passed"] is True
    assert "pictures of the very same pixels have the same label; 2 of 25 do not" in caplog.text


def test_data_without_labels_have_no_classes_to_judge(tmp_path: Path) -> None:
    write(tmp_path / "raw", {f"{number}.png": png(number) for number in range(12)})
    project = Project(tmp_path, labels="none")
    project.prepare()
    project.validate()
    assert record(project)["passed"] is True
    assert record(project)["classes"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there must be the suite of expectations, but the file is missing"),
        ("words", "suite.json: must be JSON, but"),
        ("{}", "must be a mapping with exactly the tables files, pictures, classes, data_set"),
        ('[{"type": "x"}]', r"pictures\[0\]: must have exactly the keys kwargs, notes, severity, type"),
        (
            '[{"type": "x", "notes": "", "severity": "", "kwargs": {"column": "a", "max_value": {"$PARAMETER": "b"}}}]',
            r"pictures\[0\].kwargs.max_value: \$PARAMETER must be one of .*, got 'b'",
        ),
        (
            '[{"type": "expect_x", "notes": "n", "severity": "critical", "kwargs": {"column": "a"}}]',
            "expect_x of table pictures was not judged: its type or its kwargs are not known to Great Expectations",
        ),
        (
            '[{"type": "x", "notes": "n", "severity": "critical", "kwargs": {"column": "a"}}, '
            '{"type": "x", "notes": "n", "severity": "critical", "kwargs": {"column": "a"}}]',
            r"pictures\[1\]: must be the only x of its column",
        ),
        (
            '[{"type": "expect_column_values_to_be_unique", "notes": "n", "severity": "critical", "kwargs": '
            '{"column": "nowhere"}}]',
            "expect_column_values_to_be_unique of table pictures cannot be judged: .*nowhere",
        ),
    ],
)
def test_a_suite_that_is_wrong_is_told(project: Project, text: str | None, message: str) -> None:
    if text is None:
        project.paths.suite.unlink()
    else:
        pictures = f'{{"files": [], "pictures": {text}, "classes": [], "data_set": []}}'
        project.paths.suite.write_text(pictures if text.startswith("[") else text)
    with pytest.raises(ParamsError, match=message):
        project.validate()


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ({"max_flat_share": 1.5}, "max_flat_share: must be between 0 and 1, got 1.5"),
        ({"max_class_imbalance": 0.5}, "max_class_imbalance: must be at least 1, got 0.5"),
        ({"max_mean_level": 256.0}, "max_mean_level: must be a level between 0 and 255"),
        ({"min_train_images": 0}, "min_train_images: must be at least 1"),
        ({"min_test_images": -1}, "min_test_images: must be 0 or more"),
        (
            {"min_mean_level": 9.0, "max_mean_level": 8.0},
            "min_mean_level must be at most max_mean_level, got 9.0 and 8",
        ),
    ],
)
def test_thresholds_out_of_range_are_refused(threshold: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        replace(CONTRACT, **threshold)
