"""Near duplicates and drift through stages prepare and validate: sides, the contract, what is shown and recorded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_core.errors import ContractFailed, IntegrityError
from pipelines.kinds.manifest import Manifest, read_manifest, write_manifest
from pipelines.kinds.split import PictureSplit, split_of
from tests.support.pictures import CONTRACT, Project, brighter, file_bytes, png, write

GOOD = {
    f"{name}/{number}.png": png(10 * number + index, side=8) for index, name in enumerate("ab") for number in range(12)
}


COPIES = {f"{name[0]}/copy {name[2:]}": brighter(GOOD[name], 7) for name in list(GOOD)[:8]}


def project(folder: Path, files: dict[str, bytes], near_duplicates: str = "together") -> Project:
    write(folder / "raw", files)
    made = Project(folder)
    made.split = PictureSplit(seed=0, test_fraction=0.4, near_duplicates=near_duplicates)  # type: ignore[arg-type]
    return made


def sides(manifest: Manifest) -> dict[str, str]:
    return {row.source: row.split for row in manifest.rows}


def test_near_duplicates_lie_on_one_side_and_no_other_picture_moves(tmp_path: Path) -> None:
    alone = project(tmp_path / "alone", GOOD).prepare()
    assert [row.group for row in alone.rows] == [""] * len(GOOD)
    assert all(row.split == split_of(row.content_sha256, PictureSplit(0, 0.4, "together")) for row in alone.rows)
    both = project(tmp_path / "both", {**GOOD, **COPIES}).prepare()
    groups: dict[str, set[str]] = {}
    for row in both.rows:
        if row.group:
            groups.setdefault(row.group, set()).add(row.source)
    assert sorted(map(sorted, groups.values())) == sorted([f"a/{n}.png", f"a/copy {n}.png"] for n in range(8))
    found = sides(both)
    assert all(found[copy] == found[copy.replace("copy ", "")] for copy in COPIES)
    lone = [name for name in GOOD if f"{name[0]}/copy {name[2:]}" not in COPIES]
    assert {name: found[name] for name in lone} == {name: sides(alone)[name] for name in lone}


def test_a_group_lies_in_train_where_the_source_says_so_of_one_of_it(tmp_path: Path) -> None:
    apart = {("train/" if "copy" in name else "test/") + name: data for name, data in {**GOOD, **COPIES}.items()}
    made = project(tmp_path, apart)
    made.source = replace(made.source, labels="split_folders")
    found = sides(made.prepare())
    pairs = [(f"train/{copy}", f"test/{copy.replace('copy ', '')}") for copy in COPIES]
    assert {found[name] for pair in pairs for name in pair} == {"train"}
    assert {side for name, side in found.items() if name not in sum(pairs, ())} == {"test"}


def test_ignored_near_duplicates_are_not_looked_for(tmp_path: Path) -> None:
    manifest = project(tmp_path, {**GOOD, **COPIES}, "ignore").prepare()
    assert {row.group for row in manifest.rows} == {""}
    found = sides(manifest)
    assert any(found[copy] != found[copy.replace("copy ", "")] for copy in COPIES)


def test_the_contract_counts_near_duplicates_and_names_and_shows_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = project(tmp_path, {**GOOD, **COPIES})
    made.prepare()
    made.contract = replace(CONTRACT, max_near_duplicate_share=0.2)
    made.validate()
    told = "at most 20 % (contract.max_near_duplicate_share) of the pictures may be near duplicates of another"
    assert any(f"{told}; found 25.0 %: 8 of 32" in record.getMessage() for record in caplog.records)
    shown = json.loads((made.paths.validation / "examples.json").read_text())
    assert shown[0]["title"] == f"Not so: {told}"
    group = next(each for each in shown if "a/copy 0.png" in each["names"] and len(each["names"]) == 2)
    assert group["title"].startswith("Near duplicates, group ")
    assert set(group["names"]) == {"a/0.png", "a/copy 0.png"}
    with Image.open(made.paths.validation / group["file"]) as image:
        assert image.size == (2 * (2 * 9 + 1), 2 * (9 + 1))  # two of 8 x 8 pixels, lines between, twice as large
    page = (made.paths.data_docs / "examples.html").read_text()
    assert "a/copy 0.png" in page
    assert page.count("data:image/png;base64,") == len(shown)
    assert 'href="examples.html"' in (made.paths.data_docs / "index.html").read_text()


def test_near_duplicates_on_both_sides_and_with_two_labels_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = project(tmp_path, {**GOOD, "b/copy.png": COPIES["a/copy 0.png"]})
    manifest = made.prepare()
    made.validate()
    assert any("near duplicates have 1 label; not so for 2 of 25" in each.getMessage() for each in caplog.records)
    moved = [replace(row, split="test" if row.source == "b/copy.png" else "train") for row in manifest.rows]
    write_manifest(made.paths.manifest, replace(manifest, rows=moved))
    with pytest.raises(ContractFailed, match=r"near duplicates lie on 1 side\); not so for 2 of 25: .*a/0.png"):
        made.validate()


def test_names_with_markup_are_text_on_the_page(tmp_path: Path) -> None:
    name = 'a/<img src=x onerror="alert(1)">.png'
    made = project(tmp_path, {**GOOD, name: COPIES["a/copy 0.png"]})
    made.prepare()
    made.validate()
    page = (made.paths.data_docs / "examples.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" in page


# ------------------------------------------------------------------------------------------ drift


def accept(made: Project) -> None:
    shutil.copy(made.paths.validation / "summary.json", made.paths.accepted)


def dark(folder: Path) -> dict[str, bytes]:
    """As many pictures of half the brightness, so many that chance is no reason."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 128, (60, 8, 8, 3), dtype=np.uint8)
    return {f"{'ab'[n % 2]}/{n}.png": file_bytes(Image.fromarray(each), "PNG") for n, each in enumerate(levels)}


def test_the_first_run_judges_no_drift_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    made = project(tmp_path, GOOD)
    made.prepare()
    made.validate()
    assert any("no data were accepted yet" in record.getMessage() for record in caplog.records)
    assert json.loads((made.paths.validation / "drift.json").read_text()) == {"accepted": False, "measures": []}


def test_accepting_data_changes_nothing_that_a_training_depends_on(tmp_path: Path) -> None:
    made = project(tmp_path, GOOD)
    made.prepare()
    made.validate()
    record, summary = made.paths.contract.read_bytes(), (made.paths.validation / "summary.json").read_bytes()
    accept(made)
    made.validate()
    assert made.paths.contract.read_bytes() == record
    assert (made.paths.validation / "summary.json").read_bytes() == summary
    measures = json.loads((made.paths.validation / "drift.json").read_text())["measures"]
    assert {each["measure"]: each["distance"] for each in measures} == dict.fromkeys(
        ("number of examples", "label shares", "brightness", "contrast", "width", "height", "features"), 0.0
    )


def test_darker_data_break_the_contract_until_they_are_accepted(tmp_path: Path) -> None:
    made = project(tmp_path, {f"{'ab'[n % 2]}/{n}.png": png(n, side=8) for n in range(60)})
    made.prepare()
    made.validate()
    accept(made)
    shutil.rmtree(made.raw)
    write(made.raw, dark(made.raw))
    made.prepare()
    with pytest.raises(ContractFailed, match=r"drift: no distance .* above its level in drift.breach") as caught:
        made.validate()
    assert caught.value.exit_code == 4
    assert "measure brightness, accepted median 12" in str(caught.value)
    assert "`ddpm data accept` makes them the measure of drift" in str(caught.value)
    assert json.loads(made.paths.contract.read_text())["passed"] is False
    shown = json.loads((made.paths.validation / "examples.json").read_text())
    unlike = next(each for each in shown if each["title"] == "The most unlike the accepted data")
    assert len(unlike["names"]) == CONTRACT.rows_named
    assert "Drift from the accepted data" in (made.paths.data_docs / "examples.html").read_text()
    accept(made)
    made.validate()
    assert json.loads(made.paths.contract.read_text())["passed"] is True


def test_the_source_s_sizes_are_measured_though_all_are_prepared_to_one(tmp_path: Path) -> None:
    made = project(tmp_path, {f"{'ab'[n % 2]}/{n}.png": png(n, side=8) for n in range(60)})
    rows = made.prepare().rows
    assert {(row.found_width, row.found_height) for row in rows} == {(8, 8)}
    made.validate()
    accept(made)
    shutil.rmtree(made.raw)
    upright = {f"{'ab'[n % 2]}/{n}.png": file_bytes(Image.new("RGB", (8, 24), (n, 99, 0)), "PNG") for n in range(60)}
    write(made.raw, upright)
    assert {(row.found_width, row.found_height, row.width) for row in made.prepare().rows} == {(8, 24, 8)}
    made.contract = replace(CONTRACT, max_flat_share=1.0)
    with pytest.raises(ContractFailed, match=r"measure height, accepted median 8 .*, now median 24"):
        made.validate()


def test_data_of_another_shape_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = project(tmp_path, {f"{'ab'[n % 2]}/{n}.png": png(n, side=8) for n in range(30)})
    made.prepare()
    made.validate()
    accept(made)
    made.source = replace(made.source, channels="grey")
    made.prepare()
    made.validate()
    assert any("accepted shape 3 x 8 x 8, now shape 1 x 8 x 8" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "data": null}', '{"format": 1, "data": {"kind": "x"}}']
)
def test_an_accepted_json_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    made = project(tmp_path, GOOD)
    made.prepare()
    made.paths.accepted.write_text(text)
    with pytest.raises(
        IntegrityError, match=r"accepted.json: must be what `ddpm data accept` wrote, but .*git checkout"
    ):
        made.validate()


def test_files_that_are_gone_are_told_by_the_contract_and_not_looked_at_for_drift(tmp_path: Path) -> None:
    made = project(tmp_path, GOOD)
    made.prepare()
    made.validate()
    accept(made)
    for row in read_manifest(made.paths.manifest).rows:
        (made.paths.prepared / row.path).unlink()
    with pytest.raises(ContractFailed, match="file missing"):
        made.validate()
    assert not (made.paths.validation / "summary.json").exists()
