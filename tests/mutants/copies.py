"""A copy of the project in which faults are planted, with a process that runs its tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from table import ROOT, FaultError

SECONDS_A_TEST, SECONDS_A_RUN = 60, 600
QUIET = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Only these plugins: others that lie in the environment cost more seconds to load than most tests take.
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
PLUGINS = ("-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin")
NOT_COPIED = (".git", ".venv", ".ddpm", ".dvc", "out", "data", "__pycache__", ".*_cache", ".hypothesis", ".coverage*")
PYTEST = (*PLUGINS, "-x", "-q", "-m", "not slow", "--tb=no", "-rfE", "-p", "no:cacheprovider", "--hypothesis-seed=0")
PASSED, FAILED, INTERRUPTED = 0, 1, 2
OF_PYTEST = range(6)  # its own codes; with any other the code under test ended it


class Copy:
    """A folder like this project's; `with` it runs a process that is asked for tests.

    Its cached bytecode is known by the content of its source: by time and size, as is the custom, a fault that leaves
    both alone would run as what it replaced.
    """

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        shutil.copytree(ROOT / ".dvc", tree / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
        (tree / "data").mkdir()
        shutil.copyfile(ROOT / "data" / ".gitignore", tree / "data" / ".gitignore")
        subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)  # DVC reads no graph outside a repository
        compile_all = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
        subprocess.run([*compile_all, "ddpm_core", "pipelines", "tests"], cwd=tree, check=True)

    def __enter__(self) -> "Copy":
        command = [sys.executable, str(Path(__file__).parent / "forked.py")]
        environment = {**os.environ, **QUIET, **ALONE, "PYTHONPATH": str(self.tree)}
        self._server = subprocess.Popen(
            command, cwd=self.tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate()

    @contextmanager
    def changed(self, file: str, text: str) -> Iterator[None]:
        """One file with another text, for a while."""
        path = self.tree / file
        before = path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    def first_failure(self, tests: tuple[str, ...]) -> str | None:
        """The first test that fails, None where all pass."""
        answer = self._ask({"args": [*PYTEST, f"--timeout={SECONDS_A_TEST}", *tests], "seconds": SECONDS_A_RUN})
        code, output = answer["code"], answer["output"]
        if code == PASSED:
            return None
        if code is None:
            return f"{' '.join(tests)} took more than {SECONDS_A_RUN} s"
        found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
        if code in (FAILED, INTERRUPTED) and found:
            return found[1]
        if "Timeout" in output:
            return f"a test of {' '.join(tests)} took more than {SECONDS_A_TEST} s"
        if code not in OF_PYTEST:
            return f"a test of {' '.join(tests)} ended the process with code {code}"
        raise FaultError(f"pytest ended with code {code} on {' '.join(tests)}:\n{output}")

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        if not answer:
            raise FaultError("the process that runs the tests ended without an answer")
        result: dict[str, Any] = json.loads(answer)
        return result
