"""All paths: the outputs that DVC tracks under the project's root, all other state under `home`.

DVC runs queued experiments, and those of `dvc exp run --temp`, in a temporary checkout under `.dvc/tmp/exps` that it
removes afterwards. Their state (runs, checkpoints) belongs in the main checkout's home, which `main_root` finds.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_EXPERIMENTS = (".dvc", "tmp", "exps")  # DVC's temporary checkouts, queued ones one level higher
_STANDALONE = "standalone"  # than those of `dvc exp run --temp`


def main_root(root: Path) -> Path:
    """For a temporary checkout of a DVC experiment, the project in the main checkout; else `root`."""
    found = _experiment(root)
    if found is None:
        return root
    main, _, inside = found
    below = main / inside
    return below if (below / "params.yaml").is_file() else main  # DVC's root may be below that of git


def _experiment(root: Path) -> tuple[Path, str, Path] | None:
    """DVC's root in the main checkout, the temporary checkout's name, and the project's place inside it."""
    parts = root.parts
    for start in range(len(parts) - len(_EXPERIMENTS), 0, -1):
        if parts[start : start + len(_EXPERIMENTS)] == _EXPERIMENTS:
            inside = parts[start + len(_EXPERIMENTS) :]
            if inside[:1] == (_STANDALONE,):
                inside = inside[1:]
            if inside:
                return Path(*parts[:start]), inside[0], Path(*inside[1:])
    return None


@dataclass(frozen=True)
class Paths:
    """The root of a project (it holds params.yaml and dvc.yaml) and the home of its state.

    The home is $DDPM_HOME or `.ddpm`, from the project's root; in a DVC experiment, from that of the main checkout.
    """

    root: Path
    home: Path

    @classmethod
    def of(cls, root: Path) -> "Paths":
        root = root.resolve()
        return cls(root=root, home=(main_root(root) / (os.environ.get("DDPM_HOME") or ".ddpm")).resolve())

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def prepared(self) -> Path:
        return self.root / "data" / "prepared"

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
    def validation(self) -> Path:
        return self.root / "out" / "validation"

    @property
    def accepted(self) -> Path:
        return self.root / "accepted.json"

    def suite(self, kind: str) -> Path:
        """That of the project, if it has code of its own, as the repository has; else that of the installed package."""
        place = Path("pipelines", "kinds", kind, "contract", "suite.json")
        own, installed = self.root / place, Path(__file__).resolve().parents[1] / place
        return own if (self.root / "pipelines").is_dir() or not installed.is_file() else installed

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
    def partitions(self) -> Path:
        return self.home / "partitions"

    @property
    def data_docs(self) -> Path:
        return self._own / "data-docs"

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    @property
    def logs(self) -> Path:
        return self._own / "logs"

    @property
    def _own(self) -> Path:
        """The part of the home that no other checkout writes: for an experiment a folder with its name."""
        found = _experiment(self.root)
        if found is None:
            return self.home
        return self.home / "experiments" / (os.environ.get("DVC_EXP_NAME") or found[1])
