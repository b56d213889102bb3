"""A project from Python, for a notebook or a script: the stages of `ddpm run`, with samples and verdict at hand.

project = Project.create("flowers", data="photos/")
project.set({"train.steps": 2000})
project.run()
project.sample(16, label="rose").save("roses.png")
"""

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ddpm_core.errors import DdpmError, GateFailed, ParamsError
from ddpm_core.files import atomic_folder, atomic_write_bytes, atomic_write_text
from pipelines.paths import Paths

if TYPE_CHECKING:
    from ddpm_core.gate.verdict import Verdict
    from pipelines.params import Params
    from pipelines.serving.base.serving import Samples, Serving

_LAST_LINES = 30
_OWN_PICTURES = "source/pictures"


@dataclass(frozen=True, eq=False)
class Picture:
    """A PNG that a notebook shows."""

    png: bytes

    def _repr_png_(self) -> bytes:
        return self.png


@dataclass(frozen=True, eq=False)
class Sampled:
    """Samples: `data` [n, *shape], as data are kept (pictures in levels, uint8)."""

    samples: "Samples"
    serving: "Serving"

    @property
    def data(self) -> NDArray[Any]:
        return self.samples.data

    @property
    def seeds(self) -> list[int]:
        return list(self.samples.seeds)

    def save(self, path: str | Path) -> None:
        """One file in the format that its ending names, as `ddpm sample --out` writes it."""
        format = self.serving.format_of(Path(path))
        if format is None:
            raise ParamsError(f"path: must end in one of {', '.join(self.serving.media)}, got {path}")
        atomic_write_bytes(Path(path), self.serving.encode(self.samples, format))

    def _repr_png_(self) -> bytes | None:
        return self.serving.encode(self.samples, "png") if "png" in self.serving.media else None


class Project:
    """A folder with params.yaml and dvc.yaml: `Project("folder")` opens one, `Project.create` makes one."""

    def __init__(self, folder: str | Path = ".") -> None:
        self.root = Path(folder).resolve()
        if not all((self.root / name).is_file() for name in ("params.yaml", "dvc.yaml")):
            raise ParamsError(
                f"{folder}: must be a folder that holds params.yaml and dvc.yaml, and does not; "
                "Project.create makes one"
            )
        self.paths = Paths.of(self.root)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        data: str | Path | None = None,
        pictures: NDArray[np.uint8] | None = None,
        labels: Sequence[Any] | NDArray[Any] | None = None,
        preset: str | None = None,
    ) -> "Project":
        """As `ddpm init`: from data (a folder, a file), from arrays, or from a preset. Prints what was chosen and why.

        `pictures` are uint8 [n, height, width] or [n, height, width, 3], with a label for each or none; they are
        written as PNGs into the project.
        """
        from pipelines.profiling.plan import plan_of
        from pipelines.projects.create import ProjectFiles, check_free, create, from_preset

        given = [
            name for name, value in (("data", data), ("pictures", pictures), ("preset", preset)) if value is not None
        ]
        if len(given) != 1 or (labels is not None and pictures is None):
            raise ParamsError(f"data, pictures, preset: must be exactly one (labels only with pictures), got {given}")
        root = Path(folder)
        if preset is not None:
            files = from_preset(preset, root)
            check_free(root, files)
            create(root, files)
            return cls(root)
        if (root / "params.yaml").exists():
            raise ParamsError(f"{folder}: must not be a project yet; open it by Project({str(folder)!r})")
        source = Path(data) if data is not None else root / _OWN_PICTURES
        if pictures is not None:
            _write_pictures(source, np.asarray(pictures), labels)
        plan = plan_of(source, root)
        files = ProjectFiles.of(root.resolve().name, plan.about, plan.params)
        check_free(root, files, source)
        create(root, files)
        sys.stdout.write(plan.text)
        return cls(root)

    # ---- parameters

    @property
    def params(self) -> "Params":
        """All of params.yaml, checked."""
        from pipelines.params import load_params

        return load_params(self.paths.params)

    def set(self, values: Mapping[str, Any]) -> "Project":
        """Write values under dotted keys into params.yaml; nothing is written unless all of it is still right."""
        from pipelines.params import load_params
        from pipelines.projects.params_text import with_values

        try:
            text = with_values(self.paths.params.read_text(encoding="utf-8"), values)
        except KeyError as error:
            raise ParamsError(f"params.yaml: has no key {error.args[0]}") from error
        with tempfile.TemporaryDirectory() as scratch:
            tried = Path(scratch) / self.paths.params.name
            tried.write_text(text, encoding="utf-8")
            load_params(tried)
        atomic_write_text(self.paths.params, text)
        return self

    # ---- stages

    def run(self, only: str | None = None, *, promote: bool = False) -> "Verdict | None":
        """Run the stale stages, as `ddpm run` does, and show their lines; the verdict, whether it passes or not.

        `only`: this stage alone. `promote` registers a model that passes.
        """
        words = [] if promote else ["--no-promote"]
        words += ["--only", only] if only is not None else []
        code, lines = self._command("run", *words)
        if code not in (0, GateFailed.exit_code):
            raise DdpmError(f"ddpm run ended with exit code {code}; its last lines:\n{''.join(lines)}")
        return self.verdict if self.paths.metrics.is_file() and only in (None, "evaluate", "report", "gate") else None

    def _command(self, *words: str) -> tuple[int, list[str]]:
        """A command in a process of its own, line by line: it sets threads and signals up as it needs them."""
        command = [sys.executable, "-m", "pipelines.cli", *words, "--project", str(self.root)]
        lines: list[str] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                for line in process.stdout or ():
                    sys.stdout.write(line)
                    sys.stdout.flush()
                    lines = [*lines[-_LAST_LINES:], line]
            except BaseException:  # the interrupt of a notebook: the stage saves, and the next run resumes it
                process.terminate()
                raise
        return process.returncode, lines

    # ---- what a run made

    @property
    def verdict(self) -> "Verdict":
        """The gate's verdict by today's rules; `verdict.passed`, `verdict.headline`, `verdict.rules`."""
        from pipelines.gate.record import judge

        return judge(self.paths, self.params.gate)[0]

    @property
    def metrics(self) -> dict[str, float]:
        found: dict[str, float] = json.loads(self.paths.metrics.read_text(encoding="utf-8"))
        return found

    @property
    def curves(self) -> dict[str, NDArray[np.float64]]:
        """The training's curves by column: `step`, `loss`, `lr` and others."""
        with self.paths.curves.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in (rows[0] if rows else ())}

    @property
    def grid(self) -> Picture:
        """The samples that were judged, some of them."""
        return Picture((self.paths.samples / "grid.png").read_bytes())

    @property
    def report(self) -> Path:
        return self.paths.report / "index.html"

    @property
    def bundle(self) -> Path:
        """The model that ships, for `ddpm serve --bundle` and `ddpm sample --bundle`."""
        return self.paths.bundle

    def save(self, folder: str | Path) -> Path:
        """Copy the bundle; the whole folder is there or none."""
        place = Path(folder)
        if place.exists():
            raise ParamsError(f"folder: must be a new one, got {place}")
        with atomic_folder(place) as made:
            for file in self.bundle.iterdir():
                shutil.copy2(file, made / file.name)
        return place

    def sample(
        self,
        n: int = 16,
        *,
        label: Any = "cycle",
        attributes: Mapping[str, Any] | None = None,
        seed: int = 0,
        sampler: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Sampled:
        """Samples of the bundle, as `ddpm sample` makes them: sample i has the seed `seed + i`.

        `label`: a class, its number, a list of them, "none", or "cycle" for all classes in turn; so of each attribute.
        """
        from ddpm_core.bundle.format import read_bundle
        from pipelines.kinds import kind_of
        from pipelines.sampling.bundle_sampler import Sampler
        from pipelines.serving.base.labels import conditions_asked
        from pipelines.serving.base.serving import Samples

        content = read_bundle(self.bundle)
        serving = kind_of(content.spec.kind).serving()
        serving.check_command("sample", content.spec)
        model = Sampler(content, "auto")
        cond = conditions_asked(label, n, content.spec, "label", attributes)
        seeds = [seed + i for i in range(n)]
        recipe = model.recipe(sampler, steps, guidance)
        return Sampled(Samples(model.sample(recipe, seeds, cond), cond, seeds, model.made_by(recipe)), serving)


def _write_pictures(folder: Path, pictures: NDArray[Any], labels: Sequence[Any] | NDArray[Any] | None) -> None:
    """PNGs in a folder for each label."""
    from pipelines.kinds.pictures.rows.decode import encode_png

    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or (pictures.ndim == 4 and pictures.shape[3] != 3):
        raise ParamsError(
            "pictures: must be uint8 [n, height, width] or [n, height, width, 3], got "
            f"{pictures.dtype} {list(pictures.shape)}"
        )
    if labels is not None and len(labels) != len(pictures):
        raise ParamsError(f"labels: must be one for each of {len(pictures)} pictures, got {len(labels)}")
    first = pictures[:, None] if pictures.ndim == 3 else np.moveaxis(pictures, 3, 1)
    names = [""] * len(pictures) if labels is None else [str(label) for label in labels]
    if wrong := next((name for name in names if "/" in name or name.startswith(".")), None):
        raise ParamsError(f"labels: must be names of folders, without `/` and a leading dot, got {wrong!r}")
    width = len(str(len(pictures)))
    with atomic_folder(folder) as made:
        for number, (picture, name) in enumerate(zip(first, names, strict=True)):
            place = made / name
            place.mkdir(exist_ok=True)
            (place / f"{number:0{width}d}.png").write_bytes(encode_png(picture))
