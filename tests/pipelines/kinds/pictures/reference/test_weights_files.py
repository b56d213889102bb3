"""Where the weights of a listed extractor are looked for, in which order, and what is said when they are not there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddpm_core.errors import DataError, IntegrityError, ParamsError
from ddpm_core.files import sha256_bytes
from pipelines.kinds.pictures.reference.weights_files import CACHED, ExtractorFile, dinov2_address, read_weights_file

DATA = b"weights"
LISTED = ExtractorFile(kind="inception", path=None, sha256=sha256_bytes(DATA), download=False)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("DDPM_INCEPTION", raising=False)
    monkeypatch.delenv("DDPM_DINOV2", raising=False)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def no_download() -> bytes:
    raise AssertionError("nothing may be downloaded")


def test_path_comes_before_environment_before_cache_before_download(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    everywhere = {name: (hub / name) for name in CACHED["inception"]}

    def told(listed: ExtractorFile, text: bytes) -> None:
        found.append(read_weights_file(replace(listed, sha256=sha256_bytes(text)), tmp_path, lambda: b"downloaded"))

    for number, name in enumerate(("path", "environment", *CACHED["inception"])):
        (everywhere.get(name) or tmp_path / name).write_bytes(str(number).encode())
    monkeypatch.setenv("DDPM_INCEPTION", str(tmp_path / "environment"))
    told(replace(LISTED, path="path"), b"0")
    told(LISTED, b"1")
    monkeypatch.delenv("DDPM_INCEPTION")
    told(LISTED, b"2")
    everywhere[CACHED["inception"][0]].unlink()
    told(LISTED, b"3")
    everywhere[CACHED["inception"][1]].unlink()
    told(replace(LISTED, download=True), b"downloaded")
    assert found == [b"0", b"1", b"2", b"3", b"downloaded"]


def test_the_cache_lies_where_torch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    place = Path(torch.hub.get_dir()) / "checkpoints" / CACHED["inception"][0]
    place.parent.mkdir(parents=True)
    place.write_bytes(DATA)
    assert read_weights_file(LISTED, tmp_path, no_download) == DATA


def test_what_is_listed_and_not_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"listed and must be found; .*no \$DDPM_INCEPTION, .*set download: true, or take"
    ):
        read_weights_file(LISTED, tmp_path, no_download)


def test_a_place_that_is_named_and_empty_is_an_error_and_nothing_further_is_tried(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hub / CACHED["inception"][0]).write_bytes(DATA)
    with pytest.raises(DataError, match=r"path of inception must name a file, there is none at .*absent"):
        read_weights_file(replace(LISTED, path="absent"), tmp_path, no_download)
    monkeypatch.setenv("DDPM_INCEPTION", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"\$DDPM_INCEPTION of inception must name a file, there is none at .*gone"):
        read_weights_file(LISTED, tmp_path, no_download)


def test_another_digest_is_refused_wherever_the_file_came_from(tmp_path: Path, hub: Path) -> None:
    (hub / CACHED["inception"][1]).write_bytes(b"others")
    with pytest.raises(IntegrityError, match=r"pt_inception.*must have the SHA-256 .*, it has .*; get the file again"):
        read_weights_file(LISTED, tmp_path, no_download)
    (hub / CACHED["inception"][1]).unlink()
    with pytest.raises(IntegrityError, match=r"the download must have the SHA-256"):
        read_weights_file(replace(LISTED, download=True), tmp_path, lambda: b"others")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": ""}, "path: must be null or the path of a file"),
        ({"sha256": "6726825d"}, "sha256: must be 64 hexadeci"),
    ],
)
def test_a_listing_out_of_range_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        replace(LISTED, **changes)


@pytest.mark.parametrize("kind", [kind for kind in CACHED if kind.startswith("dinov2")])
def test_dinov2_is_found_by_path_by_environment_and_in_the_cache(
    kind: Any, tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = replace(LISTED, kind=kind)
    (tmp_path / "here.pth").write_bytes(DATA)
    assert read_weights_file(replace(wanted, path="here.pth"), tmp_path, no_download) == DATA
    with pytest.raises(DataError, match=rf"of {kind} are listed .*no \$DDPM_DINOV2, and no {CACHED[kind][0]} in .*"):
        read_weights_file(wanted, tmp_path, no_download)
    monkeypatch.setenv("DDPM_DINOV2", str(tmp_path / "here.pth"))
    assert read_weights_file(wanted, tmp_path, no_download) == DATA
    monkeypatch.delenv("DDPM_DINOV2")
    (hub / CACHED[kind][0]).write_bytes(DATA)
    assert read_weights_file(wanted, tmp_path, no_download) == DATA
    with pytest.raises(IntegrityError, match=rf"{CACHED[kind][0]} must have the SHA-256 0000"):
        read_weights_file(replace(wanted, sha256="0" * 64), tmp_path, no_download)


def test_each_dinov2_is_fetched_under_the_name_it_has_in_the_cache() -> None:
    assert dinov2_address("dinov2_vits14").endswith("/dinov2_vits14/dinov2_vits14_pretrain.pth")
    assert dinov2_address("dinov2_vitb14_reg").endswith("/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth")
