"""Stage validate: data that keep the contract pass; each way to break it stops the pipeline and names the rows."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ddpm_core.errors import ContractFailed, ParamsError
from pipelines.contract import expectations
from pipelines.contract.config import read_suite
from pipelines.kinds.manifest import read_manifest, write_manifest
from tests.support.pictures import CONTRACT, SUITE, Project, file_bytes, png, write

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
    assert len(record(project)["expectations"]) == sum(map(len, json.loads(project.suite.read_text()).values()))
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
        "data set: train has at least 100 (contract.min_train_images) pictures; found train 1",
        "data set: test has at least 101 (contract.min_test_images) pictures; found test ",
        "classes: every class has at least 50 (contract.min_train_images_per_class) pictures in train; not so "
        "for 2 of 2: "
        "class_name a, train ",
        "classes: every class has at least 51 (contract.min_test_images_per_class) pictures in test; not so "
        "for 2 of 2: ",
        "files: at most 1 % (contract.max_quarantined_share) of the files may be quarantined; found 4.0 %: 1 of 25: "
        "source a/words.png, reason not a picture",
        "data set: the mean level lies between 250 (contract.min_mean_level) and 255 (contract.max_mean_level); found "
        "mean_level 1",
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
        replace(test[0], content_sha256=train[9].content_sha256),
        *test[1:],
    ]
    write_manifest(project.paths.manifest, replace(manifest, rows=faulty[:-1]))
    with pytest.raises(ContractFailed) as caught:
        project.validate()
    for told in (
        f"every picture is 8 pixels wide, as the data set is; not so for 1 of 23: key {train[0].key}, source",
        f"source {train[0].source}, width 9",
        f"every picture is 8 pixels high, as the data set is; not so for 1 of 23: key {train[1].key}",
        f"every picture has mode RGB, as the data set has; not so for 1 of 23: key {train[2].key}",
        "every label is one of the data set's: 0, 1; not so for 1 of 23: key ",
        f"source {train[3].source}, label 7",
        f"every picture is in train or in test; not so for 1 of 23: key {train[4].key}",
        f"key {train[5].key}, source {train[5].source}, file changed",
        f"key {train[6].key}, source {train[6].source}, file missing",
        f"the brightest level of every picture is one of 0 to 255; not so for 1 of 23: key {train[7].key}",
        f"the darkest level of every picture is one of 0 to 255; not so for 1 of 23: key {train[7].key}",
        f"every picture has a key of its own; not so for 2 of 23: key {train[9].key}",
        "no picture of test has the very pixels of one of train (equal pixels lie on 1 side); not so for 3 of 23: ",
        "every picture found is either accepted or quarantined, 0 are unaccounted for; found unaccounted 1",
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
    assert (
        "1 % (contract.max_duplicate_share) of the pictures may repeat the very pixels of another; found 14.3 %: 5"
        in message
    )
    assert (
        "at most 1 % (contract.max_flat_share) of the pictures may be of one level throughout; found 14.3 %: 5 of 35: "
        in message
    )
    assert message.count("; and 2 more") == 2  # rows_named is 3
    assert (
        "the largest class has at most 1.5 (contract.max_class_imbalance) times as many pictures as each other"
        in message
    )


def grey(level: int) -> bytes:
    return file_bytes(Image.new("RGB", (12, 12), (level, level, level)), "PNG")


def test_labels_that_disagree_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "raw", {**GOOD, "b/same.png": GOOD["a/1.png"]})
    project = Project(tmp_path)
    project.prepare()
    project.validate()
    assert record(project)["passed"] is True
    assert (
        "pictures of the very same pixels have 1 label, and 1 class of each attribute; not so for 2 of 25: key "
        in caplog.text
    )


@pytest.mark.parametrize(
    ("breaches", "share"), [(284, "2.8 %: 284"), (201, "2.01 %: 201"), (210, "2.1 %: 210"), (10_000, "100.0 %: 10,000")]
)
def test_a_share_is_told_with_its_limit_and_in_the_right_sense(breaches: int, share: str) -> None:
    contract = replace(CONTRACT, max_quarantined_share=0.02)
    parameters = {**PARAMETERS, **contract.parameters()}
    suite = read_suite(SUITE, TABLES, parameters, contract)
    row = {"source": "0.png", "reason": "cut", "accepted": False}
    result = {
        "success": False,
        "result": {"element_count": 10_000, "unexpected_count": breaches, "unexpected_index_list": [row] * breaches},
    }
    finding = expectations._finding("files", suite["files"][0], parameters, ("source", "reason"), result, 1)
    assert finding.told() == (
        f"files: at most 2 % (contract.max_quarantined_share) of the files may be quarantined; found {share} of 10,000"
        f": source 0.png, reason cut; and {breaches - 1:,} more"
    )


TABLES = ("files", "pictures", "classes", "data_set")
PARAMETERS: dict[str, Any] = {
    **CONTRACT.parameters(),
    **dict.fromkeys(("heights", "widths", "modes", "labels"), "0"),
}


def test_every_rule_with_a_threshold_names_its_key_and_its_limit() -> None:
    """Every key of section contract but the number of rows stands in exactly the notes of the rule that it sets."""
    suite = read_suite(SUITE, TABLES, PARAMETERS, CONTRACT)
    notes = [each["notes"] for rules in suite.values() for each in rules]
    for key, value in CONTRACT.thresholds().items():
        limit = f"{100 * value:g} %" if key.endswith("_share") else f"{value:g}"
        assert sum(f"{limit} (contract.{key})" in note for note in notes) == (key != "rows_named"), key
    assert not [note for note in notes if "$" in note]


def test_empty_class_folders_are_a_warning_that_names_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "raw", GOOD)
    for name in ("cat", "dog"):
        (tmp_path / "raw" / name).mkdir()
    project = Project(tmp_path)
    project.prepare()
    caplog.set_level("INFO", "pipelines")
    project.validate()
    assert record(project)["passed"] is True
    kept, rules = map(int, re.findall(r"the data keep (\d+) of (\d+) expectations", caplog.text)[0])
    assert kept == rules - 1
    assert "data set: every class folder holds a picture; one without is no class; found " in caplog.text
    assert "empty_class_folders cat, dog" in caplog.text


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
        (
            '[{"type": "x", "notes": "contract.max_cats and $dogs", "severity": "", "kwargs": {"column": "a"}}]',
            r"pictures\[0\].notes: contract.max_cats must be one of max_.*pictures\[0\].notes: \$dogs must be one of ",
        ),
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
        project.suite.unlink()
    else:
        pictures = f'{{"files": [], "pictures": {text}, "classes": [], "data_set": []}}'
        project.suite.write_text(pictures if text.startswith("[") else text)
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
