"""`mlflow server` for tests that stop it and start it again."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path


class Server:
    """A server on a file of its own; `start` does not wait until it answers."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        where = ["--backend-store-uri", f"sqlite:///{self._folder / 'store.db'}"]
        where += ["--artifacts-destination", str(self._folder / "artifacts"), "--host", "127.0.0.1"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *where, "--port", str(self.port), "--workers", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None
