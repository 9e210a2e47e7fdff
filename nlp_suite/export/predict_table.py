"""Answers to every row of a table: all its columns, in their order, and those of the answers behind them."""

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.table_writing import TableWriter, check_table_path, open_table_writer
from nlp_suite.data.text_tables import Cells, TextLines, TextTable, added_columns
from nlp_suite.errors import UsageError
from nlp_suite.export.load import load
from nlp_suite.predictor import AnswerOptions, Predictor, answers_of
from nlp_suite.progress import say, scope, track
from nlp_suite.registry import TASKS

LOGGER = logging.getLogger(__name__)
CHUNK_ROWS = 4096  # answered at once: enough to sort texts by length, little memory
Answers = Callable[[list[str]], Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class AnsweredTable:
    """What was done.

    Attributes:
        path: the file that was written.
        rows: how many rows it has.
        missing: of them, those without a text, whose answers are empty.
        truncated: of them, those whose text was not read whole.
    """

    path: Path
    rows: int
    missing: int
    truncated: int

    def describe(self) -> str:
        """A sentence for people."""
        parts = [f"{self.path}: {self.rows:,} rows"]
        if self.missing:
            parts.append(f"{self.missing:,} without a text have no answer")
        if self.truncated:
            parts.append(
                f"{self.truncated:,} texts were longer than text.max_length or text.max_characters and cut there"
            )
        return "; ".join(parts)


@scope()
def predict_table(
    model: Predictor | str | Path,
    path: str | Path,
    output: str | Path,
    *,
    text_column: str | int | None = None,
    top_k: int | None = None,
    thresholds: Mapping[str, float] | None = None,
    abstain_below: float | None = None,
) -> AnsweredTable:
    """Writes a table with the predictions for every row of another one; memory stays flat however many rows there are.

    All columns are kept, and rows keep their order. The columns of the answers follow, with `predicted_` before their names.
    A row whose text is missing has empty ones; an empty text is a text.

    Args:
        model: what `load` gives, or a path that it opens.
        path: a CSV, TSV, JSON, JSON lines, Excel, Parquet or Arrow file, text also compressed.
        output: the file to write, in the format of its suffix: `.csv`, `.tsv`, `.jsonl` or `.parquet`; text also with `.gz`
            and its like. It appears whole, or not at all.
        text_column: name of the texts' column, or number from 0; default: as the model's config has it.
        top_k: also the K most probable labels.
        thresholds: label → probability that makes it the answer; see `AnswerOptions`.
        abstain_below: probability below which there is no label.

    Raises:
        DataError: a table that cannot be read, with file and line, or cannot be written.
        ExportError: `model` cannot be opened.
        RequestError: the model's task has no such answers or options, or a number is out of range.

    Example:
        >>> nlp_suite.predict_table("runs/imdb", "reviews.csv", "answers.parquet", thresholds={"neg": 0.8}).rows
        25000
    """
    options = AnswerOptions(top_k, dict(thresholds or {}), abstain_below)
    output = check_outputs(path, output)
    predictor = model if isinstance(model, Predictor) else load(model)
    answers, columns = answers_of(predictor, options, for_people=False)
    table = open_text_table(predictor, path, text_column)
    return write_answers(table, output, answers, columns, "predicting")


def check_outputs(path: str | Path, output: str | Path) -> Path:
    """The file to write, refused where no table can be written there, or where it is the one that is read."""
    output = check_table_path(output)
    check_other(path, output)
    return output


def check_other(path: str | Path, output: Path) -> None:
    """Refuses to write the file that is read.

    Raises:
        UsageError: they are the same.
    """
    if output.exists() and Path(path).expanduser().exists() and os.path.samefile(Path(path).expanduser(), output):
        raise UsageError(f"{output} would be read and written at once; give another file to write")


def open_text_table(predictor: Predictor, path: str | Path, column: str | int | None = None) -> TextTable:
    """A table with the texts that a model is asked about; see `TextTable`."""
    kind = corpus_kind(TASKS.get(predictor.task_name).corpus_kind)
    table = TextTable(Path(path).expanduser(), kind, predictor.experiment, column)
    if table.found:
        say(table.found, LOGGER)
    return table


def write_answers(
    table: TextTable | TextLines,
    output: Path,
    answers: Answers,
    columns: Cells,
    doing: str,
    prefix: str = "predicted_",
    opened: Callable[[Path, list[str]], AbstractContextManager[TableWriter]] = open_table_writer,
) -> AnsweredTable:
    """Writes the rows of a table with the cells of their answers.

    Args:
        table: what is read.
        output: what is written, see `open_table_writer`.
        answers: from some texts to an answer each.
        columns: of the answers.
        doing: for progress, such as `"predicting"`.
        prefix: of the names of these columns.
        opened: gives the writer of a file with columns.
    """
    rows = missing = truncated = 0
    names = [*table.columns, *added_columns(columns, table.columns, prefix)]
    with opened(output, names) as writer:
        for values, answer in _answered(track(table.rows(), doing, unit="rows", share=table.share), answers):
            rows += 1
            missing += answer is None
            truncated += bool(answer and answer.get("truncated"))
            cells = [None if answer is None else cell(answer) for cell in columns.values()]
            writer.write([*values, *cells])
    return AnsweredTable(output, rows, missing, truncated)


def _answered(
    rows: Iterable[tuple[list[Any], str | None]], answers: Answers
) -> Iterator[tuple[list[Any], dict[str, Any] | None]]:
    """The values of every row beside the answer to its text."""
    rows = iter(rows)
    while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
        texts = [text for _, text in chunk if text is not None]
        given = iter(answers(texts) if texts else ())
        for values, text in chunk:
            yield values, None if text is None else next(given)
