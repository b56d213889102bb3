"""Which files and libraries a training's bits depend on: what its stage imports, read from the text of our modules.

Nothing that a training runs is listed by hand: an import, at the top of a file or inside a function, is followed as far
as it leads. What is listed is the contrary, the few files that carry, tell or refuse and change no bit (`_NO_BIT`), so
a new file is taken into account until somebody says why it need not be.
"""

import ast
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TRAINING = "pipelines.stages.train"
_PACKAGES = ("ddpm_core", "pipelines")

# Modules that are reached and change no bit of a training, so that to mend a word in them throws no training away. What
# they import is not followed. Parameters and data join the identity by value, so that their readers need not.
_NO_BIT = frozenset(
    {
        "ddpm_core",  # names, imported when they are used
        "ddpm_core.checks",  # refuses parameters
        "ddpm_core.errors",
        "ddpm_core.files",  # bytes to the disk and their digests
        "ddpm_core.diff",  # tells what differs
        "ddpm_core.training.failures",  # ends processes; what was done before is the same
        "ddpm_core.training.probe",  # writes nothing
        "ddpm_core.training.profile",  # writes no weights
        "ddpm_core.training.run_folders",  # where checkpoints lie, and who has them
        "ddpm_core.training.spans",  # names for a profile
        "ddpm_core.training.signals",  # when to stop; what is done before is the same
        "pipelines.params",
        "pipelines.paths",
        "pipelines.runtime.progress",  # tells how far it is
        "pipelines.runtime.environment",
        "pipelines.runtime.threads",  # a training begins at their number and keeps it
        "pipelines.training.code_files",
        "pipelines.versioning.git",
        "pipelines.training.preview",  # samples for the tracker
        "pipelines.kinds",  # which kinds there are; what the data's own kind does to them is a start of its own
        "pipelines.kinds.kind",
        "pipelines.training.rollback_log",  # when the tracker hears of a step
    }
)
# Libraries that are reached and hand on bytes whose digests are known, or show progress.
_LIBRARIES_OF_NO_BIT = frozenset({"onnx", "safetensors", "tqdm", "webdataset"})
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # where a statement holds others


@dataclass(frozen=True)
class Reached:
    """What a module's imports lead to."""

    files: tuple[str, ...]  # ours, from the root on, sorted
    libraries: tuple[str, ...]  # names of others' packages, without Python's own


def of_training(kind: str, root: Path | None = None) -> Reached:
    """All that can change a bit of a training on this kind of data; `root` holds our packages (those that run now)."""
    root, own = root or installed_root(), f"pipelines.kinds.{kind}"
    of_kind = [f"{own}.training.{file.stem}" for file in root.joinpath(*own.split("."), "training").glob("*.py")]
    found = reached(root, (TRAINING, *of_kind), {*_NO_BIT, own})
    return Reached(found.files, tuple(name for name in found.libraries if name not in _LIBRARIES_OF_NO_BIT))


def installed_root() -> Path:
    """The folder that holds the packages that run now."""
    return Path(__file__).resolve().parents[2]


def reached(root: Path, starts: Sequence[str], without: Collection[str] = ()) -> Reached:
    """What modules of ours lead to, themselves included, through all imports that run, whenever they run.

    Neither the modules `without` nor what only they import is among the files; nor is a file that holds words alone.
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
    return Reached(tuple(sorted(files)), tuple(sorted(libraries)))


def _file_of(root: Path, module: str) -> Path | None:
    """The file of a module; None where the name is that of a class or a function."""
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
    """What a file of a package imports, and whether it is a docstring and nothing else."""
    tree = ast.parse(text)
    return tuple(_imports(tree, package)), all(isinstance(node, ast.Expr) for node in tree.body)


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Dotted names that a file imports; `from a import b` gives `a` and `a.b`, for b may be a module."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements, however deep, but those that a type checker alone reads."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        blocks = _BLOCKS[1:] if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) else _BLOCKS
        for block in blocks:
            waiting += getattr(node, block, ())
