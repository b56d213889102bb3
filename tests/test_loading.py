"""What a module loads with it, in a fresh interpreter: the numbers room numpy alone, the command line no heavy tool."""

import subprocess
import sys

from tests.support.imports import ROOT, own_modules
from tests.test_rooms import is_numbers

HEAVY = (
    "torch",
    "mlflow",
    "prefect",
    "great_expectations",
    "torchvision",
    "onnx",
    "matplotlib",
    "webdataset",
    "pandas",
)


def test_every_module_of_the_numbers_room_loads_with_numpy_alone() -> None:
    """In a fresh interpreter; what it costs is in benchmarks/RESULTS.md."""
    modules = sorted(name for name in own_modules() if is_numbers(name))
    assert len(modules) > 30
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        + "".join(f"import {name}\n" for name in modules)
        + "new = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print(sorted(name for name in new if not name.startswith(('_', 'cython'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['ddpm_core', 'numpy']"


def test_config_dataclasses_load_without_a_heavy_tool() -> None:
    code = (
        "import sys\nfrom pipelines.params import section_types\nsection_types('pictures')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_command_line_loads_without_numpy_pydantic_or_a_heavy_tool() -> None:
    names = ("numpy", "pydantic", "ruamel", "PIL", *HEAVY)
    code = (
        "import sys\nfrom pipelines.cli import parser\nparser().format_help()\n"
        f"print([name for name in {names!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
