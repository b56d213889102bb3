"""The page's files: served as they are, from here alone, with nothing inline."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.page import FOLDER, MEDIA
from tests.pipelines.serving.page.conftest import LIMITS

FILES = [file for file in sorted(FOLDER.iterdir()) if file.suffix in MEDIA]


@pytest.fixture(scope="module")
def client(pictures: Sampler) -> Iterator[TestClient]:
    with TestClient(create_app(pictures, LIMITS)) as made:
        yield made


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_each_file_is_served_as_what_it_is_under_a_strict_policy(client: TestClient, file: object) -> None:
    path = FOLDER / str(getattr(file, "name", ""))
    answer = client.get(f"/page/{path.name}")
    assert answer.content == path.read_bytes()
    assert answer.headers["content-type"] == MEDIA[path.suffix]
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_root_is_the_page_and_a_browser_that_has_it_gets_no_copy(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.content == (FOLDER / "index.html").read_bytes()
    again = client.get("/", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_is_no_part_of_the_api_and_hands_out_nothing_else(client: TestClient) -> None:
    assert not [path for path in client.get("/openapi.json").json()["paths"] if "page" in path or path == "/"]
    for path in ("/page/", "/page/__init__.py", "/page/one_file.py", "/page/..%2Fapp.py", "/page/none.js"):
        assert client.get(path).status_code == 404


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", page) == []
    for file in FILES:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?://|//[a-z]+\.[a-z]", text) == [], file


def test_every_module_that_is_imported_is_there() -> None:
    known = {file.name for file in FILES} | {"ort.js"}  # onnxruntime-web, in the page of `ddpm page` alone
    for file in FOLDER.glob("*.js"):
        assert set(re.findall(r'from "\./([^"]+)"', file.read_text(encoding="utf-8"))) <= known, file
