"""Predictions for a terminal or a program: a table, JSON lines or TSV, whatever the task."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_suite.cli.common import console
from nlp_suite.data.table_writing import DelimitedWriter
from nlp_suite.errors import RequestError
from nlp_suite.export.load import load, task_at
from nlp_suite.registry import TASKS
from nlp_suite.task import Predictor, Task
from nlp_suite.tasks.shared.lines import shortened
from nlp_suite.tasks.shared.score_output import check_format, report_truncated

CHUNK_TEXTS = 256


def write_predictions(path: Path, texts: Iterable[str], format: str = "table", max_characters: int = 60) -> None:
    """Prints the prediction for every text, in order; JSON lines and TSV keep memory flat.

    Args:
        path: what `load` opens.
        texts: read once.
        format: `table`, `jsonl` or `tsv`.
        max_characters: of a text that a table shows.

    Raises:
        UnknownNameError: unknown format.
        ExportError: `path` cannot be opened.
        RequestError: the model's task does not predict.
    """
    check_format(format)
    _check_predicts(path, task_at(path))
    predictor = load(path)
    _check_predicts(path, predictor.task_name)
    {"table": _table, "jsonl": _jsonl, "tsv": _tsv}[format](predictor, _answered(predictor, texts), max_characters)


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


def _answered(predictor: Predictor, texts: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Texts beside their predictions; at the end names on standard error those that were not read whole."""
    texts, count, truncated = iter(texts), 0, []
    while chunk := list(islice(texts, CHUNK_TEXTS)):
        for text, answer in zip(chunk, predictor.predict(chunk)):
            count += 1
            if answer.get("truncated"):
                truncated.append(count)
            yield text, answer
    report_truncated(
        truncated, f"of {count:,} texts were longer than text.max_length or text.max_characters and cut there"
    )


def _columns(predictor: Predictor, for_people: bool) -> dict[str, Callable[[dict[str, Any]], str]]:
    task: type[Task] = TASKS.get(predictor.task_name)
    return task.answer_columns(predictor.labels, for_people)


def _table(predictor: Predictor, pairs: Iterable[tuple[str, dict[str, Any]]], max_characters: int) -> None:
    from rich.table import Table
    from rich.text import Text

    columns = _columns(predictor, for_people=True)
    table = Table("text", *columns)
    for text, answer in pairs:
        table.add_row(Text(shortened(text, max_characters)), *(Text(cell(answer)) for cell in columns.values()))
    console().print(table)


def _jsonl(predictor: Predictor, pairs: Iterable[tuple[str, dict[str, Any]]], max_characters: int) -> None:
    for text, answer in pairs:
        print(json.dumps({"text": text, **answer}, ensure_ascii=False), flush=True)


def _tsv(predictor: Predictor, pairs: Iterable[tuple[str, dict[str, Any]]], max_characters: int) -> None:
    columns = _columns(predictor, for_people=False)
    writer = DelimitedWriter(sys.stdout, "\t", ["text", *columns])
    for text, answer in pairs:
        writer.write([text, *(cell(answer) for cell in columns.values())])
        sys.stdout.flush()
