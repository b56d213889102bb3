"""What a module imports, read from its text: at its top, inside its functions, but not for the type checker alone."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ddpm_core", "pipelines")


# It imports the dataclass of every section to judge a file; who calls it sees the sections that it asks for.
NOT_FOLLOWED = ROOT / "pipelines" / "params.py"


# The class of each kind of data, and their base.
KINDS = (*sorted((ROOT / "pipelines" / "kinds").glob("*/__init__.py")), ROOT / "pipelines" / "kinds" / "kind.py")


def source_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def own_modules() -> dict[str, Path]:
    """Our modules by name; nobody changes it."""
    return {module_name(path): path for path in source_files()}


def imports_of_text(text: str, *, typing_too: bool = False, lazy_too: bool = True) -> set[str]:
    """Dotted names that a text imports; `from a import b` gives `a` and `a.b`, for b may be a module."""
    names: set[str] = set()
    for node in _nodes(ast.parse(text), typing_too, lazy_too):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@cache
def imports_of(path: Path, *, typing_too: bool = False, lazy_too: bool = True) -> frozenset[str]:
    return frozenset(imports_of_text(path.read_text(encoding="utf-8"), typing_too=typing_too, lazy_too=lazy_too))


def closure(start: Path, without: Path | None = None) -> set[Path]:
    """Our own files that a file reaches by imports, itself and the packages' __init__ among them; `without` is left.

    A method of a kind of data imports what it needs when it is called: it is followed where a file asks a kind for it.
    """
    modules = own_modules()
    reached, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path in reached or path == without:
            continue
        reached.add(path)
        if path == NOT_FOLLOWED:
            continue
        names = set(imports_of(path, lazy_too=path not in KINDS))
        if "pipelines.kinds.kind_of" in names:
            names |= {
                name
                for kind in KINDS
                for method, its in methods_of(kind).items()
                if method in asked(path)
                for name in its
            }
        for name in names:
            parts = name.split(".")
            waiting += [modules[known] for i in range(len(parts)) if (known := ".".join(parts[: i + 1])) in modules]
    return reached


@cache
def methods_of(kind: Path) -> dict[str, frozenset[str]]:
    """What each method of a kind of data imports when it is called."""
    nodes = ast.walk(ast.parse(kind.read_text(encoding="utf-8")))
    return {n.name: frozenset(imports_of_text(ast.unparse(n))) for n in nodes if isinstance(n, ast.FunctionDef)}


@cache
def asked(path: Path) -> frozenset[str]:
    """The names that a file asks objects for."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute))


def is_only_words(path: Path) -> bool:
    """A file with a docstring and nothing else, as some `__init__.py` are."""
    return all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def _nodes(node: ast.AST, typing_too: bool, lazy_too: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test) and not typing_too:
            yield from child.orelse
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not lazy_too:
            continue
        yield child
        yield from _nodes(child, typing_too, lazy_too)
