"""A real server on loopback and a real browser; skipped where there is no Chromium."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.app import create_app
from pipelines.serving.service import Limits
from tests.support.served import listening
from tests.support.tiny_bundle import tiny_bundle, tiny_sample_config

CHROMIUM = shutil.which("chromium")
LIMITS = Limits(cost=None, waiting=32, at_once=2, seconds=60.0, body_bytes=None)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    folder: Path = tmp_path_factory.mktemp("page") / "b"
    return Sampler(tiny_bundle(folder, sample=tiny_sample_config("unipc_2", 6, 1.0)), "cpu")


@pytest.fixture(scope="module")
def address(pictures: Sampler) -> Iterator[str]:
    with listening(create_app(pictures, LIMITS)) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address, in a context of these choices; an error of a script, and one in the console, fails the test."""
    contexts, errors = [], []

    def open_it(url: str, **choices: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **choices})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert [error for error in errors if not error.startswith("Failed to load resource")] == []
