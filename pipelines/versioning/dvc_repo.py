"""DVC: the order of the stages, which are stale, and how to run one of them in this process.

`dvc.repo.Repo` is not a public interface, so only this file uses it. If it has changed, the command `dvc repro -s
STAGE` replaces it, which costs a second or two per stage.
"""

import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from copy import copy
from pathlib import Path
from typing import Any, TypeVar

from ddpm_core.errors import DdpmError, ParamsError
from pipelines.runtime.disk import told
from pipelines.versioning.dvc_repair import LockBusy, holder, mend_rwlock, set_aside

T = TypeVar("T")

LOCK_PATIENCE = 60.0  # seconds to wait for another DVC process to release the lock
_FIRST_WAIT = 0.2

log = logging.getLogger(__name__)


class StageFailed(DdpmError):
    """The process of a stage failed; we exit with its code."""

    def __init__(self, stage: str, exit_code: int) -> None:
        super().__init__(
            f"stage {stage} failed with exit code {exit_code}; see its message above. "
            f"Mend the cause and run again: finished stages are kept"
        )
        self.stage = stage
        self.exit_code = exit_code


def use_this_environment() -> None:
    """Put the folder of this Python first on PATH, so that `cmd: ddpm STAGE` runs this installation."""
    scripts = str(Path(sys.executable).parent)
    parts = os.environ.get("PATH", "").split(os.pathsep)
    if parts[0] != scripts:
        os.environ["PATH"] = os.pathsep.join([scripts, *parts])
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")


class DvcRepo:
    """One project's graph, and its stages run one by one."""

    def __init__(self, root: Path, patience: float = LOCK_PATIENCE) -> None:
        use_this_environment()
        self.root = root.resolve()
        self.patience = patience

    def order(self) -> list[str]:
        """The names of the stages in topological order, otherwise in the order of dvc.yaml."""
        from dvc.exceptions import DvcException

        try:
            return self._patiently(self._order)
        except DvcException as error:
            raise ParamsError(f"dvc.yaml: must be a graph that DVC can read; {error}") from error

    def _order(self) -> list[str]:
        with self._repo() as repo:
            graph = repo.index.graph  # an edge points from a stage to one that it depends on
            listed = [stage.name for stage in repo.index.stages]
            needs = {stage.name: {need.name for need in graph.successors(stage)} for stage in graph}
        ordered: list[str] = []
        while len(ordered) < len(listed):
            ordered.append(next(name for name in listed if name not in ordered and needs[name] <= set(ordered)))
        return ordered

    def is_stale(self, name: str) -> bool:
        """Whether this stage is stale."""
        with _errors_of(name):
            return self._reproduce(name, dry=True, force=False)

    def lock_now(self, hashed: tuple[str, ...]) -> dict[str, Any]:
        """The dvc.lock if all stages had just run: digests and sizes of files, values of parameters.

        DVC treats a file with its old time and size as unchanged; paths that begin with a word of `hashed` are read.
        """
        from dvc.exceptions import DvcException

        try:
            return self._patiently(lambda: self._lock_now(hashed), mends=False)
        except DvcException as error:
            raise ParamsError(f"dvc.lock, dvc.yaml: must be files that DVC can read; {error}") from error

    def _lock_now(self, hashed: tuple[str, ...]) -> dict[str, Any]:
        from dvc.stage.serialize import to_lockfile

        with self._repo() as repo, repo.lock:
            for stage in repo.index.stages:
                for item in (*stage.deps, *stage.outs):
                    item.meta, item.hash_info = _as_it_is(item, anew=item.def_path.startswith(hashed))
            entries: dict[str, Any] = {}
            for stage in repo.index.stages:
                entries |= to_lockfile(stage)
            return entries

    def run_stage(self, name: str, *, force: bool = False) -> bool:
        """Run one stage if it is stale; True if it ran or was restored, False if it was not stale."""
        try:
            with _errors_of(name):
                return self._reproduce(name, dry=False, force=force)
        except (AttributeError, TypeError) as error:  # another Repo than this was written for
            log.warning(
                "this version of DVC has another internal interface (%s); using its command line instead", error
            )
            return self.run_stage_by_command(name, force=force)

    def run_stage_by_command(self, name: str, *, force: bool = False) -> bool:
        """The same with `dvc repro -s`, which hides the stage's exit code, so it is parsed from DVC's output."""
        command = [sys.executable, "-m", "dvc", "repro", "-s", *(["-f"] if force else []), name]
        done = subprocess.run(command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        sys.stderr.write(done.stdout)
        if done.returncode == 0:
            return "didn't change, skipping" not in done.stdout
        raise StageFailed(name, _code_in(done.stdout))

    def _reproduce(self, name: str, *, dry: bool, force: bool) -> bool:
        from dvc.exceptions import ReproductionError
        from dvc.lock import LockError

        def once() -> bool:
            with self._repo() as repo:
                try:
                    return bool(repo.reproduce(targets=[name], single_item=True, dry=dry, force=force))
                except ReproductionError as error:
                    _name_cache(error.__cause__, repo.cache.local.path)
                    if isinstance(error.__cause__, LockError):  # the stage is writing its outputs
                        raise error.__cause__ from error
                    raise

        return self._patiently(once)

    def _patiently(self, action: Callable[[], T], *, mends: bool = True) -> T:
        """Run `work`; waits while another DVC process has the lock, and repairs after a killed one if `mends`."""
        from dvc.lock import LockError
        from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError

        end, wait, told_who = time.monotonic() + self.patience, _FIRST_WAIT, False
        while True:
            mend_rwlock(self.root)
            try:
                return action()
            except (YAMLSyntaxError, YAMLValidationError) as error:
                if not mends or not set_aside(self.root / "dvc.lock", str(error.path)):
                    raise
            except LockError as error:
                if time.monotonic() + wait > end:
                    raise LockBusy(
                        f"{holder(self.root)} has {self.root} locked and did not release it within "
                        f"{self.patience:.0f} s. Wait for it and run again. DVC says: {error}"
                    ) from error
                if not told_who:
                    told_who = True
                    log.info("%s has %s locked; waiting at most %.0f s", holder(self.root), self.root, self.patience)
                time.sleep(wait)
                wait = min(2 * wait, 5.0)

    @contextmanager
    def _repo(self) -> Iterator[Any]:
        from dvc.repo import Repo

        _speak_through_us()
        with chdir(self.root):  # DVC resolves names and paths from the working directory
            repo = Repo(str(self.root))
            try:
                yield repo
            finally:
                repo.close()


def _name_cache(error: BaseException | None, cache: str) -> None:
    """An error of the disk without a file is of a copy into DVC's cache."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = cache


def _is_told(record: logging.LogRecord) -> bool:
    """Not the traceback of an error of the disk, which is raised and told as one line."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, OSError) and told(error) is not None)


def _speak_through_us() -> None:
    """Show DVC's warnings once, in our format; hide its other messages."""
    for name in ("dvc_data.hashfile.transfer", "dvc_objects.fs.generic"):
        logging.getLogger(name).addFilter(_is_told)  # once, however often
    for name in ("dvc", "dvc_objects", "dvc_data"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.handlers.clear()  # DVC's own handler, set on import; the root's handler stays


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Raise DVC's errors about a stage as ours."""
    from dvc.exceptions import DvcException, ReproductionError

    try:
        yield
    except ReproductionError as error:
        if isinstance(error.__cause__, OSError) and told(error.__cause__) is not None:
            raise error.__cause__ from error
        if isinstance(error.__cause__, sqlite3.Error):
            raise _state_of_dvc(error.__cause__) from error
        raise _as_ours(name, error) from error
    except DvcException as error:
        raise DdpmError(f"DVC could not run stage {name}: {error}") from error
    except sqlite3.Error as error:
        raise _state_of_dvc(error) from error


def _state_of_dvc(error: sqlite3.Error) -> DdpmError:
    from dvc.dirs import site_cache_dir

    return DdpmError(
        f"DVC must be able to write its own databases, but: {error}. They are in .dvc/tmp and {site_cache_dir()}: make "
        "room there and give yourself the right to write, or remove the second if it is damaged (it is made again)"
    )


def _as_it_is(item: Any, *, anew: bool) -> tuple[Any, Any]:
    """Meta and digest of a file, a folder or parameters as they are now; None if there is nothing."""
    from dvc.dependency.param import ParamsDependency
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.state import StateNoop

    if not item.exists:
        return Meta(), HashInfo()
    if isinstance(item, ParamsDependency):
        return Meta(), HashInfo(item.PARAM_PARAMS, item.read_params())
    store = copy(item.local_cache)
    if anew:
        store.state = StateNoop()
    _, meta, found = build(store, item.fs_path, item.fs, item.hash_name, ignore=item.dvcignore, dry_run=True)
    return meta, found.hash_info


def _as_ours(name: str, error: BaseException) -> DdpmError:
    """The error that DVC wraps: the failing command's code, or why it was not started."""
    from dvc.stage.exceptions import StageCmdFailedError

    cause = error.__cause__
    if isinstance(cause, StageCmdFailedError):
        return StageFailed(name, _code_in(str(cause)))
    return ParamsError(f"stage {name} could not be started: {cause or error}")


def _code_in(text: str) -> int:
    """The number after `exited with`; a signal's negative number becomes the shell's 128 + n; 1 if there is none."""
    _, found, tail = text.rpartition("exited with ")
    digits = tail.split()[0].rstrip(".") if found and tail.split() else ""
    try:
        code = int(digits)
    except ValueError:
        return 1
    return 128 - code if code < 0 else code or 1
