"""Checkpoints that are whole or not there: tensors in safetensors, the rest in JSON, and a manifest written last.

    step-00001500/tensors.safetensors    step-00001500/state.json    step-00001500/manifest.json

A folder is written under a temporary name and renamed. The manifest holds the SHA-256 of the two files and of itself,
so that one flipped bit anywhere is seen; the newest whole checkpoint is then used, and that is said. No pickle.
"""

import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_core.errors import DdpmError, IntegrityError
from ddpm_core.files import atomic_folder, json_bytes, sha256_bytes

_log = logging.getLogger(__name__)
_TENSORS, _STATE, _MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training, in a folder of their own; all but the newest `keep` are removed."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint; when that fails, those before it are as they were."""
        from safetensors.torch import save

        data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
        files = {_TENSORS: data, _STATE: json_bytes(dict(state))}
        try:
            with atomic_folder(self._place(step)) as temporary:
                for name, content in files.items():
                    (temporary / name).write_bytes(content)
                (temporary / _MANIFEST).write_bytes(_manifest(step, files))
        except OSError as error:
            newest = self.steps()
            kept = f"the one of step {newest[-1]} is as it was" if newest else "there was none before it"
            raise DdpmError(
                f"the checkpoint of step {step} must be written to {self.folder}, but: {error.strerror or error}; "
                f"{kept}; make room there or set DDPM_HOME to another disk"
            ) from error
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self._place(old), ignore_errors=True)

    def latest(self) -> Snapshot | None:
        """The newest checkpoint that is whole; those that are not are named, left out and removed."""
        self._sweep()
        for step in reversed(self.steps()):
            try:
                return self.load(step)
            except IntegrityError as error:
                _log.warning("%s; going on from the one before it", error)
                shutil.rmtree(self._place(step), ignore_errors=True)
        return None

    def load(self, step: int) -> Snapshot:
        """A checkpoint, every byte of it verified."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        place = self._place(step)
        try:
            manifest = (place / _MANIFEST).read_bytes()
            files = {name: (place / name).read_bytes() for name in (_TENSORS, _STATE)}
            if manifest != _manifest(step, files):
                raise IntegrityError(f"checkpoint {place}: its files must be those that were written, but they are not")
            return Snapshot(step, load(files[_TENSORS]), json.loads(files[_STATE]))
        except (OSError, ValueError, SafetensorError) as error:
            raise IntegrityError(f"checkpoint {place}: must be whole, but cannot be read ({error})") from error

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def clear(self) -> None:
        """Remove them all: the training is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _sweep(self) -> None:
        """Remove what a kill in the middle of a save left behind."""
        if self.folder.is_dir():
            for part in self.folder.glob(".step-*.part"):
                shutil.rmtree(part, ignore_errors=True)


def _manifest(step: int, files: Mapping[str, bytes]) -> bytes:
    """The one manifest that files of this step can have: any other bytes are damage."""
    value: dict[str, Any] = {"step": step, "files": {name: sha256_bytes(content) for name, content in files.items()}}
    return json_bytes({**value, "digest": sha256_bytes(json_bytes(value))})
