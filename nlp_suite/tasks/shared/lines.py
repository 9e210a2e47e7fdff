"""Texts of the command line: from arguments, from a file with a text a line, from standard input."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nlp_suite.data.sources.reading import share_read, text_lines
from nlp_suite.data.table_reading import FORMATS
from nlp_suite.data.text_tables import is_table
from nlp_suite.errors import UsageError
from nlp_suite.progress import track

TABLE_FORMATS = ("table", "jsonl", "tsv")


def read_texts(texts: list[str] | None, input: Path | None) -> Iterator[str]:
    """Texts from the command line, from a file with a text a line, or from standard input for a lone `-`; not of a table.

    Invalid UTF-8 is replaced; lines are read as they are needed. A file may be gzipped (`.gz`).

    Raises:
        UsageError: none of the three, more than one, no such file, a folder, or a closed standard input.
    """
    if bool(texts) == (input is not None):
        raise UsageError("give texts, or --input FILE, or - for standard input (one of the three)")
    if input is not None:
        check_file("--input", input)
        lines = (line.rstrip("\r\n") for _, line in text_lines(input, "replace"))
        if sys.stdout.isatty():  # there the answers show how far it is
            return lines
        return track(lines, f"reading {input}", unit="texts", share=share_read([input]))
    if texts == ["-"]:
        return (line.rstrip(b"\r\n").decode("utf-8", "replace") for line in standard_input())
    return iter([text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts or ()])


def requested_table(texts: list[str] | None, input: Path | None, column: str | None) -> Path | None:
    """The table whose rows are asked about; None where lines are.

    Raises:
        UsageError: a column, and no table.
    """
    if not texts and input is not None and is_table(input):
        return input
    if column is not None:
        raise UsageError(f"--text {column!r} is a column of a table: give a file that is one ({', '.join(FORMATS)})")
    return None


def standard_input() -> BinaryIO:
    """The bytes of standard input.

    Raises:
        UsageError: it is closed.
    """
    if sys.stdin is None:
        raise UsageError("standard input is closed: give texts or a file")
    return sys.stdin.buffer


def check_file(option: str, path: Path) -> None:
    """Refuses what cannot be read as a file (a pipe can be); the message names the option.

    Raises:
        UsageError: no such file, or a folder.
    """
    if path.is_dir() or not path.exists():
        raise UsageError(f"{option} {str(path)!r}: {'a folder, not a file' if path.is_dir() else 'no such file'}")


def shortened(text: str, max_characters: int) -> str:
    """A text as a table shows it."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"
