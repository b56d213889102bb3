"""Which source some data are taken for, and that the chosen parameters read them."""

import io
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pipelines.kinds.pictures.profiling.profile import profile
from pipelines.params import load_params
from pipelines.profiling import plan
from pipelines.profiling.plan import plan_of
from tests.pipelines.profiling.test_pictures import blobs
from tests.support.picture_sources import hugging_face_table, save_parquet, save_to_disk, tar_bytes
from tests.support.pictures import write


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_device", lambda: "cpu")
    monkeypatch.delenv("DDPM_HOME", raising=False)


def files(n: int = 40) -> list[bytes]:
    made = []
    for picture in blobs(n):
        Image.fromarray(picture).save(stream := io.BytesIO(), "PNG")
        made.append(stream.getvalue())
    return made


def data(form: str, root: Path) -> Path:
    pictures = files()
    kinds = [("cat", "dog")[number % 2] for number in range(len(pictures))]
    rows = [(picture, number % 2) for number, picture in enumerate(pictures)]
    if form in ("tar", "tar.gz"):
        place = root / f"pets.{form}"
        members = {f"{kind}/{n}.png": picture for n, (kind, picture) in enumerate(zip(kinds, pictures, strict=True))}
        place.write_bytes(tar_bytes(members, "w:gz" if form == "tar.gz" else "w"))
        return place
    if form == "csv":
        lines = ["id;image;label", *(f"{n};{n}.png;{kind}" for n, kind in enumerate(kinds))]
        write(root / "pets", {"all.csv": "\n".join(lines).encode(), **{f"{n}.png": p for n, p in enumerate(pictures)}})
        return root / "pets" / "all.csv"
    if form == "parquet file":
        return save_parquet(root / "pets" / "all.parquet", pa.table({"picture": pictures, "kind": kinds}))
    if form == "parquet folder":
        save_parquet(root / "pets" / "data" / "train.parquet", hugging_face_table(rows, ("cat", "dog")))
    elif form == "save_to_disk":
        save_to_disk(root / "pets", hugging_face_table(rows, ("cat", "dog")))
    else:
        members = {}
        for n, (kind, picture) in enumerate(zip(kinds, pictures, strict=True)):
            members[f"{n:03d}.png"], members[f"{n:03d}.cls"] = picture, kind.encode()
        write(root / "pets", {"0.tar": tar_bytes(members)})
    return root / "pets"


@pytest.mark.parametrize(
    ("form", "kind", "key", "value"),
    [
        ("tar", "image_folder", "labels", "folders"),
        ("tar.gz", "image_folder", "labels", "folders"),
        ("csv", "picture_table", "label_column", "label"),
        ("parquet file", "picture_table", "label_column", "kind"),
        ("parquet folder", "hugging_face", "label_column", "label"),
        ("save_to_disk", "hugging_face", "label_column", "label"),
        ("webdataset", "webdataset", "labels", "cls"),
    ],
)
def test_data_are_taken_for_what_they_are_and_the_plan_reads_them(
    form: str, kind: str, key: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    place = data(form, tmp_path)
    found = plan_of(place, tmp_path / "project")
    (tmp_path / "params.yaml").write_text(found.params)
    source = load_params(tmp_path / "params.yaml").source
    assert (source.kind, getattr(source, key)) == (kind, value)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "project").mkdir()
    listing = source.listing(tmp_path / "project")
    assert listing.classes == ("cat", "dog")
    assert len(listing.found) == 40
    seen = profile(place)
    assert (seen.usable, seen.classes) == (40, {"cat": 20, "dog": 20})


@pytest.mark.parametrize("broken", ["2.png,gr\xfcn", "2.png", "2.png,a,b", '2.png,"cat'])
def test_a_broken_row_does_not_hide_what_a_table_is(tmp_path: Path, broken: str) -> None:
    """It will be in the quarantine; the others say that these are pictures."""
    pictures = {f"{n}.png": picture for n, picture in enumerate(files())}
    lines = ["image,label", *(f"{name},{('cat', 'dog')[n % 2]}" for n, name in enumerate(pictures))]
    lines[3] = broken
    write(tmp_path / "pets", {**pictures, "all.csv": "\n".join(lines).encode("latin-1")})
    seen = profile(tmp_path / "pets" / "all.csv")
    assert (seen.given.kind, seen.given.label_value, seen.classes) == ("picture_table", "label", {"cat": 19, "dog": 20})


def test_a_column_that_comes_twice_is_not_chosen(tmp_path: Path) -> None:
    table = pa.table({"picture": files(), "kind": ["cat", "dog"] * 20, "other": range(40)})
    save_parquet(tmp_path / "pets" / "a.parquet", table.append_column("other", table.column("other")))
    assert profile(tmp_path / "pets").classes == {"cat": 20, "dog": 20}


def test_a_relative_path_is_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data("tar", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(plan_of(Path("pets.tar"), Path("project")).params)
    assert load_params(tmp_path / "params.yaml").source.path == "../pets.tar"


def test_a_table_without_pictures_is_none_of_pictures(tmp_path: Path) -> None:
    write(tmp_path, {"points.csv": b"u,v\n" + b"".join(b"%d,%d\n" % (n, n * n % 7) for n in range(200))})
    (tmp_path / "params.yaml").write_text(plan_of(tmp_path / "points.csv", tmp_path / "project").params)
    assert load_params(tmp_path / "params.yaml").kind == "points"
