"""`ddpm serve --model`: what it takes, what it refuses, and a real server that follows a folder."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ddpm_core.bundle.format import read_bundle
from ddpm_core.errors import DeviceError, ParamsError
from pipelines.commands import serve
from pipelines.sampling import onnx_denoiser
from tests.support.hosting import put, versions
from tests.support.imports import ROOT
from tests.support.served import arguments, served
from tests.support.students import anywhere, student


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return versions(tmp_path_factory.mktemp("versions"), 2)


def test_models_and_their_limits_are_named(pair: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--bundle", str(pair[0]), "--model", f"b={pair[1]}", "--cache", str(tmp_path / "c"), "--device", "cpu"]
    words += ["--model-limit", "b:cost=7", "--model-limit", "b:seconds=2.5", "--most-loaded", "1"]
    first, second = served(monkeypatch, *words).cards()
    assert (first["id"], first["follows"], first["loaded"]) == ("default", None, False)
    assert (second["id"], second["follows"], second["loaded"]) == ("b", "folder", True)
    assert (second["limits"]["cost"], second["limits"]["seconds"]) == (7, 2.5)
    assert (first["limits"]["cost"], first["limits"]["seconds"]) == (10_000, 120.0)


def test_a_student_is_the_fast_mode_of_the_bundle_beside_it(
    pair: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student(tmp_path / "student", anywhere(read_bundle(pair[0]).digest))
    words = ["--fast", str(tmp_path / "student"), "--cache", str(tmp_path / "c"), "--device", "cpu"]
    first, second = served(monkeypatch, "--bundle", str(pair[0]), *words, "--model-limit", "fast:cost=7").cards()
    assert (first["id"], first["students"]) == ("default", ["fast"])
    assert (second["id"], second["teacher"], second["follows"]) == ("fast", first["bundle"], "folder")
    assert second["limits"]["cost"] == 7
    with pytest.raises(ParamsError, match=rf"--fast: .*default {read_bundle(pair[1]).digest[:16]}.*got a student of"):
        served(monkeypatch, "--bundle", str(pair[1]), *words)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--model", "fast=./a", "--fast", "b"], "--model", "`fast`"),
        (["--model", "/a"], "--model", "'/a'"),
        (["--model", "=./a"], "--model", "'=./a'"),
        (["--model", "a=./b", "--model", "a=./c"], "--model", "a twice"),
        (["--model", "default=./b", "--bundle", "c"], "--model", "`default`"),
        (["--model", "a=./b", "--model-limit", "b:cost=1"], "--model-limit", "'b:cost=1'"),
        (["--model", "a=./b", "--model-limit", "a:steps=1"], "--model-limit", "'a:steps=1'"),
        (["--model", "a=./b", "--model-limit", "a:cost=1.5"], "--model-limit", "'a:cost=1.5'"),
        (["--model", "a=./b", "--model-limit", "a:seconds=nan"], "--model-limit", "'a:seconds=nan'"),
        (["--model", "a=./b", "--most-loaded", "0"], "--most-loaded", "0"),
        (["--model", "a=./b", "--look-every", "0"], "--look-every", "0"),
    ],
)
def test_what_cannot_be_is_refused_by_its_option(words: list[str], key: str, value: str) -> None:
    with pytest.raises(ParamsError, match=rf"(?m)^\s*{key}: .*{re.escape(value)}"):
        serve.serve(arguments(*words))


def test_settings_come_from_options_variables_and_a_file_and_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "serve.yaml").write_text("port: 81\nqueue: 3\nmetrics: off\n")
    monkeypatch.setenv("DDPM_SERVE_CONFIG", str(tmp_path / "serve.yaml"))
    monkeypatch.setenv("DDPM_SERVE_QUEUE", "4")
    serve.serve(arguments("--port", "82", "--print-config"))
    printed = capsys.readouterr().out.splitlines()
    assert {"port: 82", "queue: 4", 'metrics: "off"', "threads: 1"} <= set(printed)


def test_without_keys_only_this_machine_may_reach_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParamsError, match=r"(?m)^\s*host: .*0\.0\.0\.0"):
        serve.serve(arguments("--host", "0.0.0.0", "--bundle", "x"))


def test_cuda_that_was_asked_for_is_never_the_cpu(pair: list[Path], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_denoiser, "gpu_count", lambda: 0)
        for which in (["--bundle", str(pair[0])], ["--model", f"a={pair[0]}", "--cache", str(tmp_path)]):
            with pytest.raises(DeviceError, match="cuda was asked for"):
                served(patch, *which, "--device", "cuda")


def test_a_real_server_follows_a_folder_and_ends_on_a_signal(pair: list[Path], tmp_path: Path) -> None:
    put(pair[0], tmp_path / "b")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--port", str(port), "--device", "cpu"]
    command += ["--model", f"tiny={tmp_path / 'b'}", "--look-every", "0.1"]
    home = {"DDPM_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **home}, stderr=subprocess.PIPE, text=True)
    try:
        wanted = [read_bundle(version).digest for version in pair]
        assert _served(process, port, wanted[0])["switches"] == 0
        put(pair[1], tmp_path / "b")
        assert _served(process, port, wanted[1])["switches"] == 1
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/images", json={"model": "tiny"}, timeout=20)
        assert answer.headers["x-bundle"] == wanted[1]
        process.terminate()
        assert process.wait(20) in (0, 143, -15)
        assert process.stderr is not None
        assert "resume" not in process.stderr.read()
    finally:
        process.kill()
        process.wait(20)
    assert (json.loads((tmp_path / "home" / "served" / "tiny" / "current.json").read_text()))["digest"] == wanted[1]


def _served(process: subprocess.Popen[str], port: int, digest: str) -> dict[str, Any]:
    """The one model, once it is this bundle."""
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end, "waited too long"
        try:
            card: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=5).json()["data"][0]
        except httpx.HTTPError:
            time.sleep(0.1)
            continue
        if card["bundle"] == digest:
            return card
        time.sleep(0.05)
