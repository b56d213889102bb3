"""Where everything lies: the outputs that DVC tracks under the project's root, all other state under `home`."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The root of a project (it holds params.yaml and dvc.yaml) and the home of its state ($DDPM_HOME or .ddpm)."""

    root: Path
    home: Path

    @classmethod
    def of(cls, root: Path) -> "Paths":
        root = root.resolve()
        return cls(root=root, home=Path(os.environ.get("DDPM_HOME") or root / ".ddpm").resolve())

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def images(self) -> Path:
        return self.root / "data" / "images"

    @property
    def manifest(self) -> Path:
        return self.root / "data" / "manifest.parquet"

    @property
    def source_facts(self) -> Path:
        return self.root / "data" / "source.json"

    @property
    def quarantine(self) -> Path:
        return self.root / "data" / "quarantine"

    @property
    def contract(self) -> Path:
        return self.root / "out" / "contract.json"

    @property
    def suite(self) -> Path:
        return self.root / "pipelines" / "suite.json"

    @property
    def shards(self) -> Path:
        return self.root / "data" / "shards"

    @property
    def reference(self) -> Path:
        return self.root / "out" / "reference"

    @property
    def weights(self) -> Path:
        return self.root / "out" / "weights.safetensors"

    @property
    def curves(self) -> Path:
        return self.root / "out" / "curves.csv"

    @property
    def bundle(self) -> Path:
        return self.root / "out" / "bundle"

    @property
    def metrics(self) -> Path:
        return self.root / "out" / "metrics.json"

    @property
    def record(self) -> Path:
        return self.root / "out" / "record.json"

    @property
    def samples(self) -> Path:
        return self.root / "out" / "samples"

    @property
    def report(self) -> Path:
        return self.root / "out" / "report"

    @property
    def profile(self) -> Path:
        return self.root / "out" / "profile"

    @property
    def gate(self) -> Path:
        return self.root / "out" / "gate.json"

    @property
    def nll(self) -> Path:
        return self.root / "out" / "nll"

    @property
    def checkpoints(self) -> Path:
        return self.home / "checkpoints"

    @property
    def compiled(self) -> Path:
        return self.home / "compiled"

    @property
    def data_docs(self) -> Path:
        return self.home / "data-docs"

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    @property
    def logs(self) -> Path:
        return self.home / "logs"
