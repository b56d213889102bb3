"""Where the data are that somebody points to."""

from pathlib import Path


def inner_folder(path: Path) -> Path:
    """A folder that holds nothing but one folder of folders stands for that one."""
    while path.is_dir():
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        if len(entries) != 1 or not entries[0].is_dir() or not any(each.is_dir() for each in entries[0].iterdir()):
            break
        path = entries[0]
    return path
