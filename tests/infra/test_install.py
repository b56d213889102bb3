"""The installer's checks: Python, free disk, and a stamp that makes the second time free."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.support.imports import ROOT

LOCKS = ("requirements-dev.lock", "requirements.lock", "requirements-serve.lock")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_script", ROOT / "infra" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(ROOT)
    return module


def versions(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_other_pythons_are_refused(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    with pytest.raises(
        SystemExit, match=r"Python must be 3\.11 to 3\.13, this is 3\.\d+ .* make PYTHON=python3\.13 run"
    ):
        install.check_python()


def test_too_little_disk_is_told(install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install.shutil, "disk_usage", lambda place: SimpleNamespace(free=2e9))
    with pytest.raises(SystemExit, match=r"the environment needs 9 GB of free disk in .*, there are 2\.0"):
        install.check_disk(tmp_path / "venv", 9.0)
    install.check_disk(tmp_path / "venv", 1.0)


def test_environment_is_made_again_only_for_another_lock(install: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ddpm").touch()
    stamp = tmp_path / install.STAMP
    assert not install.is_installed(tmp_path, "requirements.lock")
    stamp.write_text(install.digest(Path("requirements.lock")), encoding="utf-8")
    assert install.is_installed(tmp_path, "requirements.lock")
    assert install.is_installed(tmp_path, "requirements-serve.lock")
    assert not install.is_installed(tmp_path, "requirements-dev.lock")
    stamp.write_text("another", encoding="utf-8")
    assert not install.is_installed(tmp_path, "requirements.lock")


def test_failing_command_is_told(install: ModuleType) -> None:
    with pytest.raises(SystemExit, match="this command failed with exit code 7"):
        install.call([sys.executable, "-c", "raise SystemExit(7)"])


def test_environment_without_pip_is_given_it(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import venv

    venv.create(tmp_path / "venv", with_pip=False)
    called: list[list[str]] = []
    monkeypatch.setattr(install, "call", lambda command: called.append(command[1:3]))
    monkeypatch.setattr(install, "bootstrap_uv", lambda *_: None)
    install.install(tmp_path / "venv", "requirements-serve.lock")
    assert called == [["-m", "ensurepip"], ["-m", "pip"], ["-m", "pip"]]


def test_pip_looks_for_no_versions_beside_the_lock(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With hashes it stops at an extra of a locked package as soon as that has a newer release."""
    import venv

    venv.create(tmp_path / "venv", with_pip=False)
    called: list[list[str]] = []
    monkeypatch.setattr(install, "call", called.append)
    monkeypatch.setattr(install, "bootstrap_uv", lambda *_: None)
    install.install(tmp_path / "venv", "requirements-serve.lock")
    locked = [command for command in called if "--require-hashes" in command]
    assert len(locked) == 1
    assert "--no-deps" in locked[0]


def test_locks_agree_and_name_no_host() -> None:
    dev = versions("requirements-dev.lock")
    for lock in LOCKS:
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert "://" not in text
        assert "index-url" not in text
        assert {name: dev.get(name) for name in versions(lock)} == versions(lock)


def test_lock_of_the_peers_is_the_development_lock_and_more() -> None:
    dev, peers = versions("requirements-dev.lock"), versions("requirements-peers.lock")
    text = (ROOT / "requirements-peers.lock").read_text(encoding="utf-8")
    assert "://" not in text
    other = {name for name, version in dev.items() if peers.get(name) != version}
    assert other == {"scipy", "ml-dtypes", "greenlet"}  # decisions/0006-peers.md
    assert set(peers) - set(dev) >= {"diffusers", "denoising-diffusion-pytorch", "torchmetrics", "pytorch-fid", "timm"}


def test_lock_of_the_peers_for_series_names_no_host() -> None:
    assert "://" not in (ROOT / "requirements-peers-series.lock").read_text(encoding="utf-8")
    assert {"pypots", "gluonts", "torch"} <= set(versions("requirements-peers-series.lock"))


def test_lock_of_mutmut_agrees_with_the_development_lock() -> None:
    dev, mutmut = versions("requirements-dev.lock"), versions("requirements-mutmut.lock")
    assert "://" not in (ROOT / "requirements-mutmut.lock").read_text(encoding="utf-8")
    assert "mutmut" in mutmut
    assert {name: dev[name] for name in mutmut if name in dev} == {n: v for n, v in mutmut.items() if n in dev}


def test_lock_for_serving_has_no_torch() -> None:
    assert not {"torch", "dvc", "prefect", "mlflow"} & set(versions("requirements-serve.lock"))


def test_exactly_one_build_of_onnxruntime_is_installed_here() -> None:
    from importlib.metadata import PackageNotFoundError, version

    there = []
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            there.append(version(name))
        except PackageNotFoundError:
            continue
    assert len(there) == 1
