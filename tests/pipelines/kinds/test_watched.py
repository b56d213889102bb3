"""What DVC would stumble or hang on is told before anything starts."""

import os
from pathlib import Path

import pytest

from ddpm_core.errors import ParamsError
from pipelines.kinds.watched import check_watched
from tests.support.pictures import png, write


def test_a_folder_or_a_file_of_files_is_fine_whatever_they_hold(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"a/1.png": png(1), "a/words.png": b"words"})
    (tmp_path / "raw" / "linked.png").symlink_to(tmp_path / "raw" / "a" / "1.png")
    check_watched("raw", tmp_path)
    check_watched("raw/a/1.png", tmp_path)
    check_watched(str(tmp_path / "raw"), Path("/elsewhere"))


def test_a_path_without_anything_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"source.path: .*/raw must be there, but there is nothing"):
        check_watched("raw", tmp_path)


def test_broken_links_and_pipes_are_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "raw", {"a/1.png": png(1)}) / "a"
    os.mkfifo(folder / "pipe")
    for number in range(4):
        (folder / f"broken{number}").symlink_to("nowhere")
    with pytest.raises(ParamsError) as caught:
        check_watched("raw", tmp_path)
    assert "a/broken0 is a link whose target is missing; " in str(caught.value)
    assert "; and 2 more; remove them, give them other names or mend the links" in str(caught.value)
    for number in range(4):
        (folder / f"broken{number}").unlink()
    with pytest.raises(ParamsError, match="a/pipe is a pipe, a socket or a device"):
        check_watched("raw", tmp_path)


@pytest.mark.parametrize("entry", [b"caf\xe9.png", b"caf\xe9/a.png"])
def test_name_that_is_no_utf_8_is_told_in_an_escaped_form(tmp_path: Path, entry: bytes) -> None:
    """DVC would stop with a traceback that names no file."""
    place = tmp_path / "pets" / os.fsdecode(entry)
    place.parent.mkdir(parents=True)
    place.touch()
    with pytest.raises(ParamsError, match=r"pets/caf\\xe9\S* has a name that is not UTF-8; .*other names") as told:
        check_watched("pets", tmp_path)
    str(told.value).encode()
