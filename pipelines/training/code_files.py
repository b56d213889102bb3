"""The files and libraries that a training's bits depend on: all imports of its stage, read from the source.

It follows every import, at the top of a file or inside a function. The only list by hand is of the few files that
cannot change a bit (`_NO_BIT`), so a new file counts until somebody adds it there with a reason.
"""

import ast
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TRAINING = "pipelines.stages.train"
_PACKAGES = ("ddpm_core", "pipelines")

# Modules that are imported but change no bit of a training, so that an edit of them invalidates no training. Their
# imports are not followed. The identity has parameters and data by value, so it needs no file that reads them.
_NO_BIT = frozenset(
    {
        "ddpm_core",  # public names, imported on use
        "ddpm_core.checks",  # checks parameters
        "ddpm_core.errors",
        "ddpm_core.files",  # writes bytes and computes digests
        "ddpm_core.diff",  # compares records
        "ddpm_core.training.failures",  # ends processes; completed steps stay the same
        "ddpm_core.training.probe",  # writes nothing
        "ddpm_core.training.profile",  # writes no weights
        "ddpm_core.training.run_folders",  # names and locks the folders of checkpoints
        "ddpm_core.training.spans",  # names for a profile
        "ddpm_core.training.signals",  # when to stop; completed steps stay the same
        "pipelines.params",
        "pipelines.parsing",
        "pipelines.paths",
        "pipelines.runtime.progress",  # a progress bar
        "pipelines.runtime.environment",
        "pipelines.runtime.threads",  # their number is recorded apart
        "pipelines.training.code_files",
        "pipelines.versioning.git",
        "pipelines.training.preview",  # samples for the tracker
        "pipelines.kinds",  # the list of kinds; the module of the data's own kind is a second start
        "pipelines.kinds.kind",
        "pipelines.training.rollback_log",  # when the tracker gets a step
    }
)
# What only a student by distillation learns from: its teacher, and by that samplers, whose edit must make no other
# training begin anew.
_OF_STUDENTS = frozenset(
    {
        "ddpm_core.objectives.distillation",
        "ddpm_core.objectives.distillation_config",
        "pipelines.training.teacher",
    }
)
# Imported libraries that only pass on bytes with known digests, or show progress.
_LIBRARIES_OF_NO_BIT = frozenset({"onnx", "safetensors", "tqdm", "webdataset"})
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # the parts of a statement that have statements


@dataclass(frozen=True)
class Imports:
    """All files and libraries that a module imports, directly or not."""

    files: tuple[str, ...]  # ours, relative to the root, sorted
    libraries: tuple[str, ...]  # names of other packages, without the standard library


def of_training(kind: str, root: Path | None = None, *, student: bool = False) -> Imports:
    """All that can change a bit of a training on this kind of data; `root` holds our packages (those that run now).

    `student`: of a training by distillation.
    """
    root, own = root or installed_root(), f"pipelines.kinds.{kind}"
    of_kind = [f"{own}.training.{file.stem}" for file in root.joinpath(*own.split("."), "training").glob("*.py")]
    found = imports_of(root, (TRAINING, *of_kind), {*_NO_BIT, own, *(() if student else _OF_STUDENTS)})
    return Imports(found.files, tuple(name for name in found.libraries if name not in _LIBRARIES_OF_NO_BIT))


def installed_root() -> Path:
    """The folder of the running packages."""
    return Path(__file__).resolve().parents[2]


def imports_of(root: Path, starts: Sequence[str], without: Collection[str] = ()) -> Imports:
    """All files and libraries that our modules import at any time, directly or not, and the modules themselves.

    Leaves out the modules `without`, what only they import, and files with a docstring alone.
    """
    waiting = list(starts)
    seen, files, libraries = set[str](), set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name in without:
            continue
        seen.add(name)
        file = _file_of(root, name)
        if file is None:
            continue
        imports, is_words = _read(file.read_bytes(), name if file.name == "__init__.py" else name.rpartition(".")[0])
        if not is_words:
            files.add(file.relative_to(root).as_posix())
        for imported in imports:
            top = imported.partition(".")[0]
            if top in _PACKAGES:
                waiting += _with_parents(imported)
            elif top not in sys.stdlib_module_names:
                libraries.add(top)
    return Imports(tuple(sorted(files)), tuple(sorted(libraries)))


def _file_of(root: Path, module: str) -> Path | None:
    """The file of a module; None if the name is that of a class or a function."""
    place = root.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None


def _with_parents(module: str) -> list[str]:
    """`a.b.c` imports `a` and `a.b` as well."""
    parts = module.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


@cache
def _read(text: bytes, package: str) -> tuple[tuple[str, ...], bool]:
    """The imports of a file of a package, and whether it is a docstring and nothing else."""
    tree = ast.parse(text)
    return tuple(_imports(tree, package)), all(isinstance(node, ast.Expr) for node in tree.body)


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Dotted names that a file imports; `from a import b` gives `a` and `a.b`, as b may be a module."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements at any depth, except those under TYPE_CHECKING."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        blocks = _BLOCKS[1:] if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) else _BLOCKS
        for block in blocks:
            waiting += getattr(node, block, ())
