"""`ddpm ui` on a store that is damaged says so before any server starts."""

import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from ddpm_core.errors import TrackingError
from pipelines.commands import ui


def test_damaged_store_is_named_and_no_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    monkeypatch.setenv("DDPM_HOME", str(tmp_path))
    (tmp_path / "mlflow.db").write_bytes(b"words, for long enough to be no header of a database" * 100)
    monkeypatch.setattr(subprocess, "run", lambda *words, **more: pytest.fail("a server was started"))
    with pytest.raises(TrackingError, match=r"mlflow\.db must be an intact sqlite database"):
        ui.open_ui(Namespace(project=str(tmp_path), host="127.0.0.1", port=5000))
