"""The flat surface: every name resolves, nothing heavy is imported."""

import subprocess
import sys

import pytest

import ddpm_core


def test_every_name_resolves():
    for name in ddpm_core.__all__:
        assert getattr(ddpm_core, name) is not None
    assert set(dir(ddpm_core)) == {*ddpm_core.__all__, *ddpm_core.TORCH_NAMES}


def test_names_that_need_torch_are_those_of_their_module_and_no_other():
    pytest.importorskip("torch")
    from ddpm_core import torch_api

    assert sorted(name for name in vars(torch_api) if not name.startswith("_")) == sorted(ddpm_core.TORCH_NAMES)
    for name in ddpm_core.TORCH_NAMES:
        assert getattr(ddpm_core, name) is getattr(torch_api, name)
    assert not {*ddpm_core.__all__} & {*ddpm_core.TORCH_NAMES}


def test_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match="ddpm_core has no 'Cosin'; it has Ancestral, "):
        _ = ddpm_core.Cosin


def test_numbers_room_imports_no_framework():
    """In a fresh interpreter: every name of the surface, and of all third-party modules only numpy."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import ddpm_core\n"
        "[getattr(ddpm_core, name) for name in ddpm_core.__all__], dir(ddpm_core), hasattr(ddpm_core, 'unknown')\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(*(m for m in new - {'cython_runtime'} if m not in sys.stdlib_module_names and not m.startswith('_')))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert set(seen.split()) == {"ddpm_core", "numpy"}
