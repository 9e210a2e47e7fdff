"""Predictions for a terminal or a program: a table, JSON lines or TSV, whatever the task; or a table for a table."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_suite.cli.common import console
from nlp_suite.data.sources.reading import existing_file
from nlp_suite.data.table_reading import FORMATS
from nlp_suite.data.table_writing import DelimitedWriter, check_table_path
from nlp_suite.data.text_tables import Cells, TextLines, column_of, is_table
from nlp_suite.errors import RequestError, UsageError
from nlp_suite.export.load import load, task_at
from nlp_suite.export.predict_table import check_outputs, open_text_table, write_answers
from nlp_suite.predictor import AnswerOptions, Predictor, answers_of
from nlp_suite.progress import track
from nlp_suite.registry import TASKS
from nlp_suite.tasks.shared.lines import read_texts, shortened
from nlp_suite.tasks.shared.score_output import check_format, report_remarks, report_truncated

CHUNK_TEXTS = 256


def predict_texts(
    model: Path,
    texts: list[str] | None,
    input: Path | None,
    output: Path | None,
    *,
    column: str | None,
    options: AnswerOptions,
    format: str,
    max_characters: int,
) -> None:
    """Predicts texts of the command line, of standard input, of a file with a text a line, or of a table's rows.

    Args:
        model: what `load` opens.
        texts: from the command line; `["-"]`: standard input.
        input: a table, or a file with a text a line, instead.
        output: a table to write; None: the texts and their predictions are printed.
        column: of the table, that has the texts.
        options: of the answers.
        format: of what is printed.
        max_characters: of a text in a printed table.

    Raises:
        UsageError: options that do not go together. No model has been opened then.
        DataError: a table that cannot be read or written.
    """
    check_format(format)
    table = input if not texts and input is not None and is_table(input) else None
    if column is not None and table is None:
        raise UsageError(f"--text {column!r} is a column of a table: give --input FILE ({', '.join(FORMATS)})")
    lines = read_texts(texts, input) if table is None else iter(())
    if output is not None:
        output = check_outputs(input, output) if input is not None else check_table_path(output)
    if table is not None:
        existing_file(table)
    predictor = open_predictor(model)
    rows = TextLines(lines) if table is None else open_text_table(predictor, table, column_of(column))
    if output is None:
        lines = (text or "" for _, text in rows.rows())
        if table is not None and not sys.stdout.isatty():
            lines = track(lines, f"reading {table}", unit="texts", share=rows.share)
        write_predictions(predictor, lines, format, max_characters, options)
    else:
        answers, columns = answers_of(predictor, options, for_people=False)
        print(write_answers(rows, output, answers, columns, "predicting").describe())
    report_remarks(predictor)


def open_predictor(path: Path) -> Predictor:
    """A model whose task has an answer a text.

    Raises:
        ExportError: `path` cannot be opened.
        RequestError: the model's task does not predict.
    """
    _check_predicts(path, task_at(path))
    predictor = load(path)
    _check_predicts(path, predictor.task_name)
    return predictor


def write_predictions(
    predictor: Predictor,
    texts: Iterable[str],
    format: str = "table",
    max_characters: int = 60,
    options: AnswerOptions = AnswerOptions(),  # noqa: B008  it cannot be changed
) -> None:
    """Prints the prediction for every text, in order; JSON lines and TSV keep memory flat.

    Args:
        predictor: what `open_predictor` gives.
        texts: read once.
        format: `table`, `jsonl` or `tsv`.
        max_characters: of a text that a table shows.
        options: of the answers.

    Raises:
        UnknownNameError: unknown format.
        RequestError: options that do not suit the task.
    """
    check_format(format)
    answers, columns = answers_of(predictor, options, for_people=format == "table")
    {"table": _table, "jsonl": _jsonl, "tsv": _tsv}[format](columns, _answered(answers, texts), max_characters)
    report_remarks(predictor)


def thresholds_of(given: Iterable[str]) -> dict[str, float]:
    """The thresholds of `--threshold LABEL=0.8 …`: label → number.

    Raises:
        UsageError: something else, or a label twice.
    """
    thresholds: dict[str, float] = {}
    for text in given:
        label, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not label:
            raise UsageError(f"--threshold {text!r}: a label and its probability are needed, such as pos=0.8")
        if label in thresholds:
            raise UsageError(f"--threshold {text!r}: the label {label!r} has two thresholds")
        thresholds[label] = value
    return thresholds


def _check_predicts(path: Path, name: str | None) -> None:
    """Refuses a model whose task has no such answers."""
    if name and not TASKS.get(name).predicts:
        raise RequestError(f"{str(path)!r} is a {TASKS.get(name).model_kind}: {TASKS.get(name).how_to_ask}")


def check_scores(path: Path, name: str | None) -> None:
    """Refuses a model whose task has no log-probabilities.

    Raises:
        RequestError: it has none.
    """
    if name and not TASKS.get(name).scores:
        task = TASKS.get(name)
        raise RequestError(
            f"{str(path)!r} is no language model but a {task.model_kind}: {task.how_to_ask} (score needs "
            "log-probabilities of texts)"
        )


def _answered(
    answers: Callable[[list[str]], list[dict[str, Any]]], texts: Iterable[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Texts beside their predictions; at the end names on standard error those that were not read whole."""
    texts, count, truncated = iter(texts), 0, []
    while chunk := list(islice(texts, CHUNK_TEXTS)):
        for text, answer in zip(chunk, answers(chunk)):
            count += 1
            if answer.get("truncated"):
                truncated.append(count)
            yield text, answer
    report_truncated(
        truncated, f"of {count:,} texts were longer than text.max_length or text.max_characters and cut there"
    )


def _table(columns: Cells, pairs: Iterable[tuple[str, dict[str, Any]]], max_characters: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("text", *columns)
    for text, answer in pairs:
        table.add_row(Text(shortened(text, max_characters)), *(Text(cell(answer)) for cell in columns.values()))
    console().print(table)


def _jsonl(columns: Cells, pairs: Iterable[tuple[str, dict[str, Any]]], max_characters: int) -> None:
    for text, answer in pairs:
        print(json.dumps({"text": text, **answer}, ensure_ascii=False), flush=True)


def _tsv(columns: Cells, pairs: Iterable[tuple[str, dict[str, Any]]], max_characters: int) -> None:
    writer = DelimitedWriter(sys.stdout, "\t", ["text", *columns])
    for text, answer in pairs:
        values = (cell(answer) for cell in columns.values())
        writer.write([text, *(f"{value:.6f}" if isinstance(value, float) else value for value in values)])
        sys.stdout.flush()
