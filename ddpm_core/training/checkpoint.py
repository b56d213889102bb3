"""Atomic checkpoints: tensors in safetensors, the rest in JSON, and a manifest written last.

    step-00001500/tensors.safetensors    step-00001500/state.json    step-00001500/manifest.json

A save copies the tensors, and a thread writes the copy into a temporary folder and renames it. The manifest holds the
SHA-256 of the two files and of itself, so that any flipped bit is detected; a log line says so, and the newest valid
checkpoint is used. No pickle.
"""

import hashlib
import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_core.errors import DdpmError, IntegrityError
from ddpm_core.files import atomic_folder, json_bytes, sha256_bytes
from ddpm_core.training.tensor_buffer import TensorBuffer

_log = logging.getLogger(__name__)
_TENSORS, _STATE, _MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_NAME = re.compile(r"step-(\d{8,})")
Content = bytes | memoryview


@dataclass(frozen=True)
class Snapshot:
    """The content of a checkpoint."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training, in a folder of their own; all but the newest `keep` are removed."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._buffer: TensorBuffer | None = None
        self._saving: _Saving | None = None

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint; if that fails, earlier ones are unchanged."""
        self.begin(step, tensors, state)
        self.wait()

    def begin(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Copy the tensors, then write them in a thread while training continues; waits for the save before it.

        Do not change `state` afterwards.
        """
        self.wait()
        if self._buffer is None or not self._buffer.holds(tensors):
            self._buffer = TensorBuffer(tensors)
        self._buffer.take(tensors)
        self._saving = _Saving(partial(self._write, step, self._buffer, state))

    def failure(self, *, wait: bool = False) -> DdpmError | None:
        """The error of the last save, once; None without one or while the thread still writes, unless `wait`."""
        if self._saving is not None and wait:
            self._saving.join()
        if self._saving is None or not self._saving.ended():
            return None
        error, self._saving = self._saving.error, None
        if error is not None and not isinstance(error, DdpmError):
            raise error
        return error

    def wait(self) -> None:
        """Wait for the thread that writes a save; raise its error."""
        error = self.failure(wait=True)
        if error is not None:
            raise error

    def _write(self, step: int, tensors: TensorBuffer, state: Mapping[str, Any]) -> None:
        try:
            files: dict[str, Content] = {_TENSORS: tensors.content(), _STATE: _compact(state)}
            with atomic_folder(self.place(step)) as temporary:
                for name, content in files.items():
                    with (temporary / name).open("wb", buffering=0) as file:
                        _write_all(file, content)
                (temporary / _MANIFEST).write_bytes(_manifest(step, files))
        except OSError as error:
            newest = self.steps()
            kept = f"the one of step {newest[-1]} is unchanged" if newest else "there is no earlier one"
            raise DdpmError(
                f"the checkpoint of step {step} must be written to {self.folder}, but: {error.strerror or error}; "
                f"{kept}; make room there or set DDPM_HOME to another disk"
            ) from error
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.place(old), ignore_errors=True)

    def latest(self) -> Snapshot | None:
        """The newest valid checkpoint; logs and removes damaged ones."""
        if self._saving is not None:
            self._saving.join()
        self._sweep()
        for step in reversed(self.steps()):
            try:
                return self.load(step)
            except IntegrityError as error:
                _log.warning("%s; trying the one before it", error)
                shutil.rmtree(self.place(step), ignore_errors=True)
        return None

    def load(self, step: int) -> Snapshot:
        """A checkpoint, with every byte verified."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        place = self.place(step)
        try:
            manifest = (place / _MANIFEST).read_bytes()
            files = {name: (place / name).read_bytes() for name in (_TENSORS, _STATE)}
            if manifest != _manifest(step, files):
                raise IntegrityError(f"checkpoint {place}: its files must have the digests of its manifest, but do not")
            return Snapshot(step, load(files[_TENSORS]), json.loads(files[_STATE]))
        except (OSError, ValueError, SafetensorError) as error:
            raise IntegrityError(f"checkpoint {place}: must be complete, but cannot be read ({error})") from error

    def steps(self) -> list[int]:
        """The steps of all checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def remove_all(self) -> None:
        """Remove every checkpoint; the folder and its other files stay."""
        if self._saving is not None:
            self._saving.join()
        for step in self.steps():
            shutil.rmtree(self.place(step), ignore_errors=True)

    def place(self, step: int) -> Path:
        """The folder of a checkpoint."""
        return self.folder / f"step-{step:08d}"

    def _sweep(self) -> None:
        """Remove temporary folders of interrupted saves."""
        if self.folder.is_dir():
            for part in self.folder.glob(".step-*.part"):
                shutil.rmtree(part, ignore_errors=True)


class _Saving:
    """A thread that writes a save; a process that exits waits for it."""

    def __init__(self, write: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._write = write
        self._thread = threading.Thread(target=self._run, name="checkpoint")
        self._thread.start()

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write()
        except BaseException as error:  # noqa: BLE001 (raised by `wait` in the main thread)
            self.error = error


def _compact(state: Mapping[str, Any]) -> bytes:
    """JSON on one line, which is a hundred times faster for long histories than indented text."""
    return json.dumps(dict(state), sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def _write_all(file: FileIO, content: Content) -> None:
    """Write every byte; the system may split a large write."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _manifest(step: int, files: Mapping[str, Content]) -> bytes:
    """The only manifest that these files of this step can have; any other bytes mean damage."""
    value: dict[str, Any] = {
        "step": step,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return json_bytes({**value, "digest": sha256_bytes(json_bytes(value))})
