"""How a picture's bytes are read: no more of them than is allowed, whatever the file says of itself."""

import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.errors import DataError
from pipelines.kinds.pictures.rows.rules import Member
from tests.support.pictures import FOLDER


def test_a_member_that_says_it_is_small_takes_no_more_memory_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(20_000_000))
        archive.infolist()[0].file_size = 100  # what the archive's list says
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="inside its zip"):
            Member(path, 0).read(limit=1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_million_is_a_million_of_pixels_and_of_bytes() -> None:
    rules = replace(FOLDER, max_megapixels=1.5, max_megabytes=2.0).rules()
    assert (rules.max_pixels, rules.max_bytes) == (1_500_000, 2_000_000)
