"""Predictions for a terminal or a program: where the texts come from, and table, JSON lines or TSV."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from nlp_suite.data.sources.reading import text_lines
from nlp_suite.errors import ExportError
from nlp_suite.export.load import load
from nlp_suite.registry import unknown

FORMATS = ("table", "jsonl", "tsv")


def read_texts(texts: list[str] | None, input: Path | None) -> Iterator[str]:
    """Texts from the command line, from a file with a text a line, or from standard input for a lone `-`.

    Invalid UTF-8 is replaced; lines are read as they are needed. A file may be gzipped (`.gz`).

    Raises:
        ExportError: none of the three, more than one, no such file, or a folder.
    """
    if bool(texts) == (input is not None):
        raise ExportError("give texts, or --input FILE, or - for standard input (one of the three)")
    if input is not None:
        check_file("--input", input)
        return (line.rstrip("\r\n") for _, line in text_lines(input, "replace"))
    if texts == ["-"]:
        return (line.rstrip(b"\r\n").decode("utf-8", "replace") for line in sys.stdin.buffer)
    return iter([text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts])


def check_file(option: str, path: Path) -> None:
    """Refuses what cannot be read as a file (a pipe can be); the message names the option.

    Raises:
        ExportError: no such file, or a folder.
    """
    if path.is_dir() or not path.exists():
        raise ExportError(f"{option} {str(path)!r}: {'a folder, not a file' if path.is_dir() else 'no such file'}")


def write_predictions(path: Path, texts: Iterable[str], format: str = "table", max_length: int = 60) -> None:
    """Prints the prediction for every text, in order; JSON lines and TSV keep memory flat.

    Args:
        path: what `load` opens.
        texts: read once.
        format: `table`, `jsonl` or `tsv`.
        max_length: characters of a text that a table shows.

    Raises:
        ExportError: unknown format, or `path` cannot be opened.
    """
    if format not in FORMATS:
        raise ExportError(unknown("output format", format, FORMATS))
    predictor = load(path)
    if not hasattr(predictor, "predict"):
        if hasattr(predictor, "translate"):
            raise ExportError(f"{str(path)!r} is a translation model: ask it with nlp-suite translate")
        raise ExportError(f"{str(path)!r} is a language model: ask it with nlp-suite score or nlp-suite generate")
    pairs = _answered(predictor, texts)
    {"table": _table, "jsonl": _jsonl, "tsv": _tsv}[format](pairs, predictor.labels, max_length)


def _answered(predictor, texts, batch=256) -> Iterator[tuple[str, dict]]:
    """Texts beside their predictions."""
    texts = iter(texts)
    while chunk := list(islice(texts, batch)):
        yield from zip(chunk, predictor.predict(chunk))


def _table(pairs, labels, max_length):
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("text", "label", *(f"p({label})" for label in labels))
    for text, answer in pairs:
        short = text if len(text) <= max_length else text[: max_length - 1] + "…"
        values = [f"{answer['probabilities'][label]:.4f}" for label in labels]
        table.add_row(Text(short), Text(answer["label"]), *values)
    Console().print(table)


def _jsonl(pairs, labels, max_length):
    for text, answer in pairs:
        print(json.dumps({"text": text, **answer}, ensure_ascii=False), flush=True)


def _tsv(pairs, labels, max_length):
    writer = csv.writer(sys.stdout, "excel-tab", lineterminator="\n")
    writer.writerow(["text", "label", "probability", *labels])
    for text, answer in pairs:
        values = [f"{answer['probabilities'][label]:.6f}" for label in labels]
        writer.writerow([text, answer["label"], f"{answer['probability']:.6f}", *values])
        sys.stdout.flush()
