"""Translations of every row of a table, behind all its columns."""

from pathlib import Path
from typing import Any

from nlp_suite.data.text_tables import Cells, column_of
from nlp_suite.errors import UsageError
from nlp_suite.export.predict_table import AnsweredTable, check_outputs, open_text_table, write_answers
from nlp_suite.progress import scope


def check_table_request(input: Path, output: Path | None, format: str, attention: Path | None) -> Path:
    """The table to write, for a table that is read.

    Raises:
        UsageError: no such file, or options for texts that are no table.
        DataError: it cannot be written.
    """
    if output is None:
        raise UsageError(f"{input} is a table: give --output FILE (.csv, .tsv, .jsonl or .parquet) for its rows")
    if format != "text" or attention:
        option = "--attention" if attention else f"--format {format}"
        raise UsageError(f"{option} is not for tables: the suffix of --output says the format")
    return check_outputs(input, output)


@scope()
def translate_table(model: Any, path: Path, output: Path, column: str | None, **options: Any) -> AnsweredTable:
    """Writes the rows of a table with their translations and scores; of `n_best` hypotheses each has its columns.

    Args:
        model: what `open_translation` gives.
        path: a table.
        output: the table to write.
        column: of the texts to translate; None: the run's own.
        **options: of `TranslationPredictor.translate`.

    Raises:
        DataError: a table that cannot be read or written.
        RequestError: an option out of range.
    """
    model.translate([], **options)  # refuses options before a file is opened
    columns: Cells = {}
    for rank in range(options.get("n_best", 1)):
        number = f"_{rank + 1}" if rank else ""
        columns |= {f"translation{number}": _of(rank, "translation"), f"score{number}": _of(rank, "score")}
    table = open_text_table(model, path, column_of(column))
    return write_answers(table, output, lambda texts: model.translate(texts, **options), columns, "translating")


def _of(rank: int, key: str) -> Any:
    def cell(answer: dict[str, Any]) -> Any:
        hypotheses = answer["hypotheses"]
        value = hypotheses[rank][key] if rank < len(hypotheses) else None
        return round(value, 6) if isinstance(value, float) else value

    return cell
