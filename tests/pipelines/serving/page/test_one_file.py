"""`ddpm page`: one file that samples in the browser, with the network off, what the service samples."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import ParamsError
from pipelines import cli
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.page.one_file import RUNTIME, one_file
from tests.pipelines.serving.page.test_pictures import pixels, tiles
from tests.support.points_bundle import points_bundle
from tests.support.tiny_bundle import tiny_bundle

Open = Callable[..., Any]


@pytest.mark.skipif(not RUNTIME.is_dir(), reason="onnxruntime-web is installed by `make page-runtime`")
def test_with_the_network_off_the_pictures_are_the_sampler_s_to_a_level(
    open_page: Open, pictures: Sampler, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(one_file(pictures), encoding="utf-8")
    page = open_page(file.as_uri(), offline=True)
    tiles(page).nth(2).wait_for()
    expected = pictures.sample(pictures.recipe(), [0, 1, 2], {"label": [0, 1, 2]})
    for i in range(3):
        found = pixels(page, tiles(page).nth(i).locator("canvas"))
        np.testing.assert_allclose(found.astype(int), expected[i, 0], atol=1)
    page.get_by_label("Sampler", exact=True).select_option("ancestral")
    page.get_by_label("Steps", exact=True).select_option("5")
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("status").filter(has_text="3 pictures in").wait_for()
    expected = pictures.sample(pictures.recipe("ancestral", 5), [0, 1, 2], {"label": [0, 1, 2]})
    found = pixels(page, tiles(page).nth(1).locator("canvas"))
    np.testing.assert_allclose(found.astype(int), expected[1, 0], atol=1)
    assert "MIT License" in page.content()


def test_the_file_loads_nothing(pictures: Sampler, tmp_path: Path) -> None:
    runtime = tmp_path / "onnxruntime-web"
    (runtime / "dist").mkdir(parents=True)
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        (runtime / "dist" / name).write_bytes(b"//")
    (runtime / "package.json").write_text('{"version": "0"}', encoding="utf-8")
    text = one_file(pictures, runtime)
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text) == []
    assert text == one_file(pictures, runtime)


def test_without_the_runtime_the_command_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_bundle(tmp_path / "b")
    words = ["page", str(tmp_path / "o.html"), "--bundle", str(tmp_path / "b"), "--runtime", str(tmp_path)]
    assert cli.main(words) == 2
    assert "make page-runtime" in capsys.readouterr().err
    assert not (tmp_path / "o.html").exists()


def test_other_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="--bundle"):
        one_file(Sampler(points_bundle(tmp_path / "p"), "cpu"))
