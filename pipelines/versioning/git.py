"""The commit of the code; the only caller of git."""

import subprocess
from pathlib import Path


def commit_of(root: Path) -> str | None:
    """The commit of a working tree, with `-dirty` if tracked files differ from it; None without git."""
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}-dirty" if changed else head


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
