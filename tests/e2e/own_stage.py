"""Stage count_files: how many files the report has. A stage from outside."""

from ddpm_core.files import atomic_write_json


def run(params, paths, tracker):  # type: ignore[no-untyped-def]
    """Read out/report, write out/count.json."""
    names = sorted(file.name for file in paths.report.iterdir())
    atomic_write_json(paths.root / "out" / "count.json", {"files": names, "title": params.report.title})
