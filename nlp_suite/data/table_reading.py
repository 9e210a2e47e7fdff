"""Reading tables, whatever their format: `open_table` finds how a file is written and gives its rows, one at a time."""

from pathlib import Path

from nlp_suite.data.compression import COMPRESSIONS, bare_suffix, compression_of
from nlp_suite.data.sources.reading import existing_file
from nlp_suite.data.table_formats.base import Table, TableFormat
from nlp_suite.data.table_formats.text_input import guess_encoding
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

__all__ = ["FORMATS", "Table", "TableFormat", "format_of", "guess_encoding", "open_table"]

FORMATS = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
NAMES = tuple(dict.fromkeys(FORMATS.values()))
TEXT_FORMATS = ("tsv", "csv", "json", "jsonl")  # which may be compressed


def open_table(
    path: str | Path,
    *,
    format: str = "auto",
    delimiter: str | None = None,
    quoting: str = "auto",
    encoding: str = "utf-8",
    header: bool | str = "auto",
    sheet: str | None = None,
    on_error: str = "fail",
) -> Table:
    """A file of rows, of which only the beginning has been read.

    Args:
        path: the file; gz, bz2, xz and zst are decompressed, by suffix.
        format: one of `NAMES`; `"auto"`: by suffix.
        delimiter: of delimited text, one character; None: found (comma, semicolon, tab, vertical bar, or else what
            stands between the names of columns).
        quoting: of delimited text: `"csv"` as in RFC 4180, `"none"`: quotes are text, `"auto"`: found in the file.
        encoding: of text, as Python calls it; a byte order mark of UTF-8 or UTF-16 is seen.
        header: whether the first row holds names; `"auto"`: whether it looks so.
        sheet: of a workbook; None: the only one that has rows.
        on_error: what to do with invalid bytes: `"fail"`, or `"replace"` them with U+FFFD.

    Raises:
        DataError: a missing file, an unknown format, or what cannot be read without being told how: with file, line and
            remedy.

    Example:
        >>> table = open_table("reviews.csv")
        >>> table.columns
        ['text', 'label']
        >>> next(table.rows())
        (2, ['A film about …', 'pos'])
    """
    path = existing_file(path)
    format = format_of(path) if format == "auto" else format
    if format not in NAMES:
        raise DataError(f"{path}: {unknown('format', format, ('auto', *NAMES))}")
    if delimiter is not None and format not in ("tsv", "csv"):
        raise DataError(f"{path}: {format} has no delimiter, got {delimiter!r}; allowed with tsv and csv")
    if sheet is not None and format != "excel":
        raise DataError(f"{path}: {format} has no sheets, got sheet {sheet!r}; allowed with excel")
    if compression_of(path) and format not in TEXT_FORMATS:
        raise DataError(
            f"{path}: {format} is compressed in itself and is not read from {path.suffix}; decompress the file"
        )
    if format in ("tsv", "csv"):
        from nlp_suite.data.table_formats.delimited import DelimitedTable

        return DelimitedTable(path, format, delimiter, quoting, encoding, header, on_error)
    if format in ("json", "jsonl"):
        from nlp_suite.data.table_formats.json_rows import JsonTable

        return JsonTable(path, format, encoding, on_error)
    if format == "excel":
        from nlp_suite.data.table_formats.excel import ExcelTable

        return ExcelTable(path, sheet, header)
    from nlp_suite.data.table_formats.arrow import ArrowTable

    return ArrowTable(path, format)


def format_of(path: Path) -> str:
    """The format of a file by its suffix, before that of its compression, in either case.

    Raises:
        DataError: no format has it.
    """
    suffix = bare_suffix(path)
    if suffix not in FORMATS:
        remedy = {".xls": "; save it as .xlsx", ".ods": "; save it as .xlsx"}.get(suffix, "")
        raise DataError(
            f"{path}: no format is known by the suffix {suffix!r} ({', '.join(FORMATS)}; text also with "
            f"{', '.join(COMPRESSIONS)}); set format: {', '.join(NAMES)}{remedy}"
        )
    return FORMATS[suffix]
