"""The vectors of texts or of a table's rows, into a file."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nlp_suite.data.sources.reading import existing_file
from nlp_suite.data.text_tables import TextLines, column_of
from nlp_suite.data.vector_writing import check_vectors_path, open_vectors_writer
from nlp_suite.export.predict_table import AnsweredTable, check_other, open_text_table, write_answers
from nlp_suite.progress import scope
from nlp_suite.tasks.shared.lines import read_texts, requested_table
from nlp_suite.tasks.shared.opening import open_model
from nlp_suite.tasks.shared.score_output import report_remarks


@scope()
def embed_texts(
    model: Path, texts: list[str] | None, input: Path | None, output: Path, *, column: str | None, normalize: bool
) -> AnsweredTable:
    """Writes the vector of every text of the command line, of standard input, of a file's lines, or of a table's rows.

    Memory stays flat however many there are. A row without a text has NaN in an array, and null in a table.

    Args:
        model: what `load` opens.
        texts: from the command line; `["-"]`: standard input.
        input: a table, or a file with a text a line, instead.
        output: see `open_vectors_writer`.
        column: of the table, that has the texts.
        normalize: whether vectors have length 1.

    Raises:
        UsageError: options that do not go together. No model has been opened then.
        DataError: a file that cannot be read or written.
        ExportError: a model of another task.
        RequestError: a model that gives no vectors.
    """
    output = check_vectors_path(output)
    table = requested_table(texts, input, column)
    lines = read_texts(texts, input) if table is None else iter(())
    if input is not None:
        check_other(input, output)
    if table is not None:
        existing_file(table)
    predictor = open_model(model, "sentiment")
    size = predictor.vector_size
    rows = TextLines(lines) if table is None else open_text_table(predictor, table, column_of(column))

    def answers(texts: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {"embedding": vector, "truncated": truncated}
            for vector, truncated in zip(*predictor.embed_flagged(texts, normalize))
        ]

    opened = partial(open_vectors_writer, size=size)
    cells = {"embedding": lambda answer: answer["embedding"]}
    done = write_answers(rows, output, answers, cells, "embedding", prefix="", opened=opened)
    report_remarks(predictor)
    return done
