"""The files of a split: a path, a glob, or a folder of parts, as paths of files."""

import glob
from collections.abc import Sequence
from pathlib import Path

from nlp_suite.data.compression import bare_suffix
from nlp_suite.data.sources.reading import existing_file
from nlp_suite.data.table_reading import FORMATS
from nlp_suite.errors import DataError


def part_files(paths: Sequence[str]) -> list[Path]:
    """The files that paths name, in the order given; those of a glob or a folder by name.

    Of a folder all files are parts but those whose names begin with `.` or `_`, as Spark's `_SUCCESS` does.

    Raises:
        DataError: nothing is there, or the parts of one folder or glob have several formats.
    """
    files: list[Path] = []
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            files += _of_folder(path)
        elif not path.exists() and glob.has_magic(text):
            found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
            parts = [part for part in found if part.is_file()]
            if not parts:
                raise DataError(f"no file matches {text!r} (looked from {Path.cwd()})")
            files += _of_one_format(text, parts)
        else:
            files.append(existing_file(path))
    return files


def _of_folder(folder: Path) -> list[Path]:
    parts = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith((".", "_")))
    if not any(bare_suffix(part) in FORMATS for part in parts):
        hint = "one folder a class is read by the source 'directory', translations by 'parallel' with directory"
        raise DataError(f"{folder} is a folder, not a file, and has no file of a table ({', '.join(FORMATS)}); {hint}")
    return _of_one_format(str(folder), parts)


def _of_one_format(where: str, parts: list[Path]) -> list[Path]:
    by_format: dict[str, list[Path]] = {}
    for part in parts:
        suffix = bare_suffix(part)
        by_format.setdefault(FORMATS.get(suffix, suffix or "no suffix"), []).append(part)
    if len(by_format) > 1:
        shown = "; ".join(f"{name}: {len(files)}, such as {files[0].name}" for name, files in by_format.items())
        raise DataError(
            f"{where} has files of several formats ({shown}); name those of one format by a glob, such as *.csv"
        )
    return parts
