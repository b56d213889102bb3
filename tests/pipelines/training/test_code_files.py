"""The code that a training's identity knows: all that its stage runs, whatever imports it, and nothing else."""

import ast
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ddpm_core.training.run_folders import key_of
from pipelines.stages import train
from pipelines.training import code_files
from pipelines.training.code_files import Imports, imports_of, installed_root, of_training
from pipelines.training.setup import code_identity
from tests.support.imports import is_only_words
from tests.support.small_training import Recorder, params, project

ROOT = installed_root()
PACKAGES = ("ddpm_core", "pipelines")


def our_files(root: Path) -> list[Path]:
    return sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our packages' code, to be edited."""
    root = tmp_path_factory.mktemp("copied")
    for file in our_files(ROOT):
        place = root / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    return root


@contextmanager
def edited(*files: Path) -> Iterator[None]:
    """A line more in each file, for a while."""
    before = {file: file.read_bytes() for file in files}
    try:
        for file, text in before.items():
            file.write_bytes(text + b"\n# edited\n")
        yield
    finally:
        for file, text in before.items():
            file.write_bytes(text)


def test_an_edit_of_any_file_that_the_training_runs_gives_another_identity(copied: Path) -> None:
    key = key_of(code_identity("pictures", copied))
    assert key == key_of(code_identity("pictures", ROOT))
    for name in of_training("pictures").files:
        with edited(copied / name):
            assert key_of(code_identity("pictures", copied)) != key, name
    assert key_of(code_identity("pictures", copied)) == key


def test_edits_of_all_other_files_give_the_same_identity(copied: Path) -> None:
    key, known = key_of(code_identity("pictures", copied)), {copied / name for name in of_training("pictures").files}
    others = [file for file in our_files(copied) if file not in known]
    assert len(others) > len(known)
    with edited(*others):
        assert key_of(code_identity("pictures", copied)) == key


@pytest.mark.parametrize(
    "name",
    [
        "ddpm_core/diffusion/noise.py",
        "ddpm_core/models/unet.py",
        "ddpm_core/objectives/diffusion.py",
        "ddpm_core/training/trainer.py",
        "pipelines/stages/train.py",
        "pipelines/kinds/pictures/training/augment.py",
        "pipelines/training/setup.py",
        "pipelines/shards/order.py",
        "pipelines/shards/stream.py",
    ],
)
def test_the_identity_knows(name: str) -> None:
    assert name in of_training("pictures").files


@pytest.mark.parametrize(
    "name",
    [
        "ddpm_core/samplers/ddim.py",
        "pipelines/cli.py",
        "pipelines/commands/training.py",
        "pipelines/stages/evaluate.py",
        "pipelines/training/preview.py",
        "pipelines/tracking/tracker.py",
    ],
)
def test_the_identity_does_not_know(name: str) -> None:
    assert (ROOT / name).is_file()
    assert name not in of_training("pictures").files


def test_the_identity_of_a_student_knows_its_teacher_and_the_samplers() -> None:
    files = {"ddpm_core/samplers/unipc.py", "ddpm_core/objectives/distillation.py", "pipelines/training/teacher.py"}
    assert files <= set(of_training("pictures", student=True).files)
    assert not files & set(of_training("pictures").files)


BRANCHES = [
    "try:\n    pass\nexcept OSError:\n    {}",
    "try:\n    pass\nfinally:\n    {}",
    "if 1:\n    pass\nelse:\n    {}",
    "match 1:\n    case _:\n        {}",
]


@pytest.mark.parametrize("how", ["import pipelines.fresh", "from pipelines import fresh", "from ..fresh import x"])
@pytest.mark.parametrize("where", ["{}", "def f():\n    {}", *BRANCHES])
def test_a_new_file_is_known_as_soon_as_one_imports_it(copied: Path, how: str, where: str) -> None:
    fresh = copied / "pipelines" / "fresh.py"
    fresh.write_text("x = 1\n", encoding="utf-8")
    stream = copied / "pipelines" / "shards" / "stream.py"
    before = stream.read_text(encoding="utf-8")
    try:
        assert "pipelines/fresh.py" not in of_training("pictures", copied).files
        stream.write_text(f"{before}\n{where.format(how)}\n", encoding="utf-8")
        assert "pipelines/fresh.py" in of_training("pictures", copied).files
    finally:
        stream.write_text(before, encoding="utf-8")
        fresh.unlink()


def test_what_only_a_type_checker_imports_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "a.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pipelines.b\nelse:\n    import pipelines.c\n"
    )
    for name in "bc":
        (tmp_path / "pipelines" / f"{name}.py").write_text("import numpy.random, zlib\n")
    (tmp_path / "pipelines" / "__init__.py").write_text('"""Words."""\n')
    assert imports_of(tmp_path, ["pipelines.a"]) == Imports(("pipelines/a.py", "pipelines/c.py"), ("numpy",))


def test_the_packages_above_a_module_run_before_it_and_are_known(tmp_path: Path) -> None:
    (tmp_path / "pipelines" / "below").mkdir(parents=True)
    for name in ("__init__", "below/__init__", "below/b"):
        (tmp_path / "pipelines" / f"{name}.py").write_text("x = 1\n")
    (tmp_path / "pipelines" / "a.py").write_text("import pipelines.below.b\n")
    wanted = ("__init__.py", "a.py", "below/__init__.py", "below/b.py")
    assert imports_of(tmp_path, ["pipelines.a"]).files == tuple(f"pipelines/{name}" for name in wanted)


def test_libraries_that_compute_are_known_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = code_identity("pictures", ROOT)["libraries"]
    assert {"numpy", "torch"} <= set(libraries)
    assert "tqdm" not in libraries
    monkeypatch.setattr("pipelines.training.setup.version", lambda name: "0.0" if name == "numpy" else "1")
    assert code_identity("pictures", ROOT)["libraries"]["numpy"] == "0.0"


def test_what_is_left_out_would_be_reached_without_that() -> None:
    everything = imports_of(ROOT, [code_files.TRAINING])
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in everything.files}
    assert modules >= code_files._NO_BIT
    assert set(everything.libraries) >= code_files._LIBRARIES_OF_NO_BIT


def test_no_file_of_the_training_imports_by_a_name_made_up_while_it_runs() -> None:
    def names(file: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Name | ast.Attribute | ast.alias):
                yield getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", "")

    for name in of_training("pictures").files:
        assert not {"import_module", "__import__", "exec", "eval_file", "run_path"} & set(names(ROOT / name)), name


def test_every_file_that_a_training_does_run_is_known_or_left_out_by_name(tmp_path: Path) -> None:
    ran: set[str] = set()

    def watch(frame: FrameType, _event: str, _argument: Any) -> None:  # None: calls alone, no lines
        ran.add(frame.f_code.co_filename)

    paths, before = project(tmp_path), (sys.gettrace(), threading.gettrace())
    threading.settrace(watch)
    sys.settrace(watch)
    try:
        train.run(params(steps=3, sample_every=3), paths, Recorder())
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])  # type: ignore[arg-type]
    ours = {Path(name).relative_to(ROOT).as_posix() for name in ran if Path(name).is_relative_to(ROOT)}
    ours = {name for name in ours if name.startswith(PACKAGES) and not is_only_words(ROOT / name)}
    assert {"pipelines/shards/stream.py", "ddpm_core/training/prefetch.py"} <= ours
    assert ours <= set(imports_of(ROOT, [code_files.TRAINING]).files)
