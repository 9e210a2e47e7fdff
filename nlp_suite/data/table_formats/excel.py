"""Tables of Excel workbooks, a sheet each, read row by row with openpyxl."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlp_suite.data.sources.reading import count_bytes
from nlp_suite.data.table_formats.base import Row, Table, TableFormat, is_header
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

_MERGED = re.compile(rb'<mergeCell [^>]*ref="([^"]+)"')
_ERRORS = {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"}
_PIECE = 1 << 20


class ExcelTable(Table):
    """The rows of a sheet that are not empty, each with its number in the sheet.

    A value is a string, number, truth value or date; None where a cell is empty or a formula has failed.
    """

    place = "row"

    def __init__(self, path: Path, sheet: str | None, header: bool | str):
        super().__init__(path)
        with self._workbook() as book:
            name = self._sheet_name(book, sheet)
        self.format = TableFormat("excel", sheet=name)
        self._refuse_merged_cells()
        first = [row for _, row in zip(range(100), self._cells())]
        if not first:
            raise DataError(f"{path}: the sheet {name!r} is empty")
        cells = [row for _, row in first]
        named = is_header(cells) if header == "auto" else bool(header)
        self.format = TableFormat("excel", header=named, sheet=name)
        self.columns = ["" if value is None else str(value) for value in cells[0]] if named else None

    def _read(self) -> Iterator[Row]:
        rows = self._cells()
        if self.columns is not None:
            next(rows, None)
        return rows

    def _cells(self) -> Iterator[Row]:
        """Rows that are not empty, as wide as the first one; one that has more is as wide as it is."""
        from openpyxl.utils.escape import unescape

        width = 0
        with self._workbook() as book:
            sheet = book[self.format.sheet]
            row_size = self.path.stat().st_size / max(1, sheet.max_row or 1)
            sheet.reset_dimensions()  # some programs write wrong ones
            done = 0.0
            for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
                row = [self._value(value, unescape) for value in values]
                while row and row[-1] is None:
                    row.pop()
                done += row_size
                if done >= 1:
                    count_bytes(int(done))
                    done %= 1
                if row:
                    width = width or len(row)
                    yield number, row + [None] * (width - len(row))

    @staticmethod
    def _value(value: Any, unescape: Any) -> Any:
        if isinstance(value, str):
            return None if value in _ERRORS or not value else unescape(value) if "_x" in value else value
        return value

    def _sheet_name(self, book: Any, sheet: str | None) -> str:
        if sheet is not None:
            if sheet not in book.sheetnames:
                raise DataError(f"{self.path}: {unknown('sheet', sheet, book.sheetnames)}")
            return sheet
        filled = [
            s.title
            for s in book.worksheets
            if any(any(v is not None for v in row) for row in s.iter_rows(max_row=50, values_only=True))
        ]
        if len(filled) > 1:
            raise DataError(f"{self.path}: several sheets have rows: {', '.join(filled)}; set sheet to one of them")
        if not filled:
            raise DataError(f"{self.path}: no sheet has rows (sheets: {', '.join(book.sheetnames)})")
        return str(filled[0])

    def _refuse_merged_cells(self) -> None:
        with self._workbook() as book, zipfile.ZipFile(self.path) as archive:
            member = book[
                self.format.sheet
            ]._worksheet_path  # its XML, of which a read-only sheet skips what follows the rows
            merged, tail = [], b""
            with archive.open(member) as file:
                while piece := file.read(_PIECE):
                    found = _MERGED.findall(tail + piece)
                    merged += [reference.decode() for reference in found]
                    tail = (tail + piece)[-100:] if not found else b""
        if merged:
            shown = ", ".join(merged[:5]) + (", …" if len(merged) > 5 else "")
            raise DataError(
                f"{self.path}: the sheet {self.format.sheet!r} has merged cells ({shown}), of which a table has only the "
                "first; unmerge them and fill every cell, or save the rows as CSV"
            )

    @contextmanager
    def _workbook(self) -> Iterator[Any]:
        try:
            import openpyxl
        except ModuleNotFoundError:
            remedy = "it is installed by pip install 'nlp-suite[excel]'"
            raise DataError(f"{self.path}: Excel needs the package openpyxl; {remedy}") from None
        try:
            book = openpyxl.load_workbook(self.path, read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError, openpyxl.utils.exceptions.InvalidFileException) as error:
            raise DataError(f"{self.path}: not an Excel workbook (.xlsx): {error}") from None
        try:
            yield book
        finally:
            book.close()
