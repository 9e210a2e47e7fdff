"""Translations and scores of translations for a terminal or a program: lines in, lines out, as they come."""

import itertools
import json
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from nlp_suite.data.sources.parallel import checked_pair_count
from nlp_suite.data.table_writing import DelimitedWriter
from nlp_suite.data.text_tables import is_table
from nlp_suite.errors import UsageError
from nlp_suite.predictor import Predictor, ScoreOptions
from nlp_suite.tasks.shared.lines import check_file, read_texts
from nlp_suite.tasks.shared.opening import open_model
from nlp_suite.tasks.shared.score_output import CHUNK_LINES, Scores, check_format, report_remarks, report_truncated

FORMATS = ("text", "tsv", "jsonl")


def open_translation(paths: list[Path]) -> Predictor:
    """The predictor of a translation model; of several paths an ensemble of runs.

    Raises:
        ExportError: it is another task's, or they do not fit together.
    """
    if len(paths) > 1:
        from nlp_suite.tasks.translation.ensemble import open_ensemble

        return open_ensemble(paths)
    return open_model(paths[0], "translation")


def check_request(
    texts: list[str] | None, input: Path | None, output: Path | None, format: str, attention: Path | None
) -> None:
    """Refuses what `write_translations` cannot read or write; needs no model.

    Raises:
        UsageError: unknown format, no such file, or one that cannot be written or would be read and written at once.
    """
    check_format(format, FORMATS)
    read_texts(texts if texts or input else ["-"], input)
    _check_outputs(input, {"--output": output, "--attention": attention})


def write_translations(
    model,
    texts: list[str] | None,
    input: Path | None = None,
    output: Path | None = None,
    format: str = "text",
    attention: Path | None = None,
    **options,
) -> None:
    """Writes a translation for every text, in order and as soon as it is made.

    `text` gives one line a text, or, with `n_best` above 1, Moses' `number ||| translation ||| score` (the number of the
    text, from 0). An empty line gives an empty one. `jsonl` has the weights of attention where a page of it is written.
    From standard input, the lines that have come are translated together.

    Args:
        model: what `open_translation` gives.
        texts: from the command line; None or `["-"]`: standard input.
        input: a file with a text a line, instead.
        output: a file to write; default: standard output.
        format: `text`, `tsv` or `jsonl`.
        attention: a page to write, with what every token of every hypothesis looked at.
        **options: of `TranslationPredictor.translate`.

    Raises:
        UsageError: unknown format, no such file, or one that cannot be written or would be read and written at once.
        RequestError: an option out of range. No file has been touched then.
    """
    check_request(texts, input, output, format, attention)
    if not texts and input is None:
        texts = ["-"]
    chunks = _chunks(texts, input)
    options["attention"] = attention is not None
    model.translate([], **options)  # refuses options before a file is opened
    pages, truncated = [], []
    with open(output, "w", encoding="utf-8") if output else nullcontext(sys.stdout) as file, _broken_pipes(file):
        write = {"text": _write_text, "tsv": _write_tsv, "jsonl": _write_jsonl}[format](file, options.get("n_best", 1))
        number = 0
        for chunk in chunks:
            for text, answer in zip(chunk, model.translate(chunk, before=number, **options)):
                write(number, text, answer)
                number += 1
                if answer["truncated"]:
                    truncated.append(number)
                if attention:
                    pages.append(_page_row(text, answer))
            file.flush()
    report_truncated(truncated, f"of {number:,} texts were longer than text.max_length and cut there")
    report_remarks(model)
    if attention:
        from nlp_suite.tasks.translation.attention_map import attention_page

        attention.write_text(attention_page(pages), "utf-8")
        print(f"page: {attention}", file=sys.stderr)


def _check_outputs(input, outputs):
    """Refuses files that cannot be written, before anything is translated for them.

    Args:
        input: path that is read, or None.
        outputs: option → path to write, or None.
    """
    taken = {} if input is None else {"--input": input}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.is_dir() or not path.parent.is_dir():
            why = "a folder, not a file" if path.is_dir() else f"there is no folder {str(path.parent)!r}"
            raise UsageError(f"{option} {str(path)!r}: {why}")
        for other, other_path in taken.items():
            if _same_file(path, other_path):
                raise UsageError(f"{other} and {option} are the same file, {str(path)!r}; give another")
        taken[option] = path


def _same_file(one, other) -> bool:
    """Whether two paths are one file, there or not; a device may be two."""
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one.absolute() == other.absolute()


def _page_row(text, answer):
    hypotheses = [
        {
            "translation": hypothesis["translation"],
            "target_tokens": hypothesis["tokens"],
            "weights": hypothesis["attention"],
            "score": hypothesis["score"],
        }
        for hypothesis in answer["hypotheses"]
    ]
    return {"source": text, "source_tokens": answer["source_tokens"], "hypotheses": hypotheses}


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _write_text(file, n_best):
    def write(number, text, answer):
        if n_best == 1:
            print(_one_line(answer["translation"]), file=file)
            return
        for hypothesis in answer["hypotheses"]:
            translation = _one_line(hypothesis["translation"])
            print(f"{number} ||| {translation} ||| {hypothesis['score']:.6f}", file=file)

    return write


def _write_tsv(file, n_best):
    names = ["translation", "score", "log_prob", "length"]
    writer = DelimitedWriter(file, "\t", ["number", "rank", "source", *names, "truncated"])

    def write(number, text, answer):
        for rank, hypothesis in enumerate(answer["hypotheses"]):
            translation, length = hypothesis["translation"], hypothesis["length"]
            values = [translation, f"{hypothesis['score']:.6f}", f"{hypothesis['log_prob']:.6f}", length]
            writer.write([number, rank, text, *values, int(answer["truncated"])])

    return write


def _write_jsonl(file, n_best):
    def write(number, text, answer):
        line = {"source": text, **answer}
        if n_best == 1:
            del line["hypotheses"]
        print(json.dumps(line, ensure_ascii=False), file=file)

    return write


def write_pair_scores(predictor, options: ScoreOptions) -> None:
    """Prints log-probability and perplexity of every translation given its source, and of all on standard error.

    There it also says which pairs were cut to the `max_length` of their text layers.

    Raises:
        UsageError: not two files, no such file, or files without a line.
        DataError: files of different length.
    """
    source, target = options.source, options.target
    if options.column is not None or options.file is not None or source is None or target is None:
        raise UsageError(
            f"{str(options.model)!r} is a translation model, which scores pairs: give both --source FILE and --target FILE, "
            "and no other file"
        )
    for name, file in {"--source": source, "--target": target}.items():
        check_file(name, file)
        if is_table(file):
            print(f"{name} {file} is read line by line, a text a line, not as a table", file=sys.stderr)
        if not file.is_file():
            raise UsageError(f"{name} {str(file)!r}: a pipe; allowed: a file, for it is read twice")
    count = checked_pair_count(source, target)
    if not count:
        raise UsageError("there is nothing to score: the files have no line")
    scores = Scores(options)

    def rows():
        pairs = zip(read_texts(None, source), read_texts(None, target), strict=False)
        for chunk in _batched(itertools.islice(pairs, count)):
            for (text, translation), answer in zip(
                chunk, predictor.score(*map(list, zip(*chunk)), before=scores.texts)
            ):
                scores.add(answer)
                yield translation, {"source": text, **answer} if options.format == "jsonl" else answer

    limits = "a source longer than text.max_length or a target longer than target_text.max_length"
    with _broken_pipes(sys.stdout):
        cut = f"of {{texts}} pairs had {limits} and were cut there"
        scores.write(rows(), f"Translations scored by {options.model}", cut)
    report_remarks(predictor)


def _batched(items) -> Iterator[list]:
    items = iter(items)
    while chunk := list(itertools.islice(items, CHUNK_LINES)):
        yield chunk


def _chunks(texts, input) -> Iterator[list[str]]:
    """Texts to translate together."""
    if texts == ["-"] and input is None and hasattr(select, "poll"):
        try:
            return _lines_that_came(sys.stdin.fileno())
        except (OSError, ValueError, AttributeError):
            pass  # not a file of the system
    return _batched(read_texts(texts, input))


def _lines_that_came(descriptor: int) -> Iterator[list[str]]:
    """Lists of lines, at most `CHUNK_LINES`: of a slow writer what there is, so that no line waits for others."""
    rest, ended = b"", False
    ready = select.poll()
    ready.register(descriptor, select.POLLIN | select.POLLHUP)
    while not ended:
        lines: list[bytes] = []
        while not ended and (not lines or (len(lines) < CHUNK_LINES and ready.poll(0))):
            piece = os.read(descriptor, 1 << 16)
            ended = not piece
            *new, rest = (rest + piece).split(b"\n")
            lines += new
        if ended and rest:
            lines.append(rest)
        for start in range(0, len(lines), CHUNK_LINES):
            yield [line.rstrip(b"\r").decode("utf-8", "replace") for line in lines[start : start + CHUNK_LINES]]


@contextmanager
def _broken_pipes(file):
    """A reader that has seen enough, such as `head`, ends the work quietly."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # what is still buffered goes nowhere
        raise SystemExit(0) from None
