"""The flat surface: every name resolves, nothing heavy is imported."""

import subprocess
import sys

import pytest

import ddpm_core


def test_every_name_resolves():
    for name in ddpm_core.__all__:
        assert getattr(ddpm_core, name) is not None
    assert dir(ddpm_core) == ddpm_core.__all__


def test_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match="ddpm_core has no 'Cosin'; it has Ancestral, "):
        _ = ddpm_core.Cosin


def test_numbers_room_imports_no_framework():
    """In a fresh interpreter: every name of the surface, and of all third-party modules only numpy."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import ddpm_core\n"
        "[getattr(ddpm_core, name) for name in ddpm_core.__all__]\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(*(m for m in new - {'cython_runtime'} if m not in sys.stdlib_module_names and not m.startswith('_')))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert set(seen.split()) == {"ddpm_core", "numpy"}
