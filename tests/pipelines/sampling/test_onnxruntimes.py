"""Which builds of onnxruntime are installed: asked of the packages, and none is imported."""

from importlib.metadata import PackageNotFoundError

import pytest

from pipelines.sampling import onnxruntimes


@pytest.mark.parametrize(
    "installed", [{}, {"onnxruntime": "1"}, {"onnxruntime-gpu": "2"}, {"onnxruntime-gpu": "2", "onnxruntime": "1"}]
)
def test_each_installed_build_is_told_with_its_version(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(onnxruntimes, "version", version)
    assert onnxruntimes.installed_onnxruntimes() == installed
