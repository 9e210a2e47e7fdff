"""Tables of Parquet and Arrow (Feather), read batch by batch with pyarrow."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nlp_suite.data.sources.reading import count_bytes
from nlp_suite.data.table_formats.base import Row, Table, TableFormat
from nlp_suite.errors import DataError

Batch = tuple[Any, int]  # rows of pyarrow, and their bytes in the file

BATCH_ROWS = 4096
_INDEX = "__index_level_"  # begins the name of a column in which pandas keeps the names of rows


class ArrowTable(Table):
    """Columns with types; a value is what Python has for it, None where it is missing."""

    place = "row"

    def __init__(self, path: Path, format: str):
        super().__init__(path)
        self.format = TableFormat(format)
        with self._opened() as (names, _):
            self.columns = [name for name in names if not name.startswith(_INDEX)]

    def _read(self) -> Iterator[Row]:
        number = 0
        with self._opened() as (names, batches):
            kept = [position for position, name in enumerate(names) if not name.startswith(_INDEX)]
            for batch, size in batches:
                for values in zip(*(batch.column(position).to_pylist() for position in kept)):
                    number += 1
                    yield number, list(values)
                count_bytes(size)

    @contextmanager
    def _opened(self) -> Iterator[tuple[list[str], Iterator[Batch]]]:
        """Names of all columns, and batches, each with its bytes in the file."""
        try:
            import pyarrow
        except ModuleNotFoundError:
            remedy = "it is installed by pip install 'nlp-suite[parquet]'"
            raise DataError(f"{self.path}: {self.format.format} needs the package pyarrow; {remedy}") from None
        try:
            with open(self.path, "rb") as file:
                yield self._parquet(file) if self.format.format == "parquet" else self._arrow(file)
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            what = str(error).strip().splitlines()[0]
            raise DataError(f"{self.path}: cannot be read as {self.format.format}: {what}") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from None

    def _parquet(self, file: IO[bytes]) -> tuple[list[str], Iterator[Batch]]:
        from pyarrow import parquet

        opened = parquet.ParquetFile(file)
        row_size = self.path.stat().st_size / max(1, opened.metadata.num_rows)
        batches = opened.iter_batches(BATCH_ROWS)
        return opened.schema_arrow.names, ((batch, int(row_size * batch.num_rows)) for batch in batches)

    def _arrow(self, file: IO[bytes]) -> tuple[list[str], Iterator[Batch]]:
        from pyarrow import ipc

        if file.read(6) == b"ARROW1":
            opened = ipc.open_file(file)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:  # Hugging Face's datasets write streams
            file.seek(0)
            batches = opened = ipc.open_stream(file)
        return opened.schema.names, ((part, part.nbytes) for batch in batches for part in _parts(batch))


def _parts(batch: Any) -> Iterator[Any]:
    """A batch, which may be the whole file, as slices of `BATCH_ROWS`."""
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield batch.slice(start, BATCH_ROWS)
