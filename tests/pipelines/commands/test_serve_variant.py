"""`ddpm serve --variant`: which bundle answers, and what is refused before anything is served."""

import re
from pathlib import Path

import pytest

from ddpm_core.errors import DdpmError, IntegrityError, ParamsError
from pipelines.commands import serve
from pipelines.variants.index import folder_of
from tests.support.served import arguments, served
from tests.support.tiny_bundle import tiny_bundle
from tests.support.variants import with_variant


def answering(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """The digest of the bundle that answers."""
    (card,) = served(monkeypatch, *words, "--device", "cpu").cards()
    digest: str = card["bundle"]
    return digest


@pytest.mark.parametrize(("asked", "which"), [(None, 0), ("fp32", 0), ("int8", 1), ("auto", 1)])
def test_the_variant_that_is_asked_for_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, which: int
) -> None:
    pair = with_variant(tmp_path)
    words = [] if asked is None else ["--variant", asked]
    assert answering(monkeypatch, "--bundle", str(tmp_path / "bundle"), *words) == pair[which].digest


def test_the_environment_may_ask_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, other = with_variant(tmp_path)
    monkeypatch.setenv("DDPM_SERVE_VARIANT", "int8")
    assert answering(monkeypatch, "--bundle", str(tmp_path / "bundle")) == other.digest


def test_auto_leaves_what_is_slower_or_did_not_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, words in enumerate([{"ms": 3.0}, {"outcome": "fail"}, {"where": "another"}]):
        first, _ = with_variant(tmp_path / str(number), **words)  # type: ignore[arg-type]
        bundle = str(tmp_path / str(number) / "bundle")
        assert answering(monkeypatch, "--bundle", bundle, "--variant", "auto") == first.digest


def test_what_did_not_pass_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_variant(tmp_path, "fail")
    with pytest.raises(ParamsError, match="--variant: must have passed the gate, but int8 has the outcome fail"):
        answering(monkeypatch, "--bundle", str(tmp_path / "bundle"), "--variant", "int8")


def test_another_bundle_in_the_place_of_the_variant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = with_variant(tmp_path)
    tiny_bundle(folder_of(tmp_path / "bundle") / "int8")
    with pytest.raises(IntegrityError, match=f"the bundle {other.digest} that was judged, got {first.digest}"):
        answering(monkeypatch, "--bundle", str(tmp_path / "bundle"), "--variant", "int8")


@pytest.mark.parametrize(
    ("words", "value"),
    [(["--variant", "int4", "--bundle", "bundle"], "int4"), (["--variant", "int8", "--model", "a=./bundle"], "int8")],
)
def test_what_is_no_variant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], value: str
) -> None:
    with_variant(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DdpmError, match=rf"--variant: .*got {re.escape(value)}"):
        serve.serve(arguments(*words))
