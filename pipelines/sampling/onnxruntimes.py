"""Which builds of onnxruntime are installed. It imports none of them."""

from importlib.metadata import PackageNotFoundError, version

_BUILDS = ("onnxruntime-gpu", "onnxruntime")


def installed_onnxruntimes() -> dict[str, str]:
    """The version of each installed build, by the name of its package. Of two, one overwrote files of the other."""
    found = {}
    for name in _BUILDS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
