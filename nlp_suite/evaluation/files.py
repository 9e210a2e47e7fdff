"""Writing a file so that a reader never meets half of it."""

import os
import tempfile
from pathlib import Path


def write_file(path: Path, text: str) -> None:
    """Writes a text beside its destination and renames it; if that fails, the file that was there stays as it was."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
