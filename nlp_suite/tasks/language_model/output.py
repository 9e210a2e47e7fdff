"""Scores and generated text for a terminal or a program."""

import csv
import json
import math
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nlp_suite.errors import ExportError
from nlp_suite.export.load import load
from nlp_suite.registry import unknown
from nlp_suite.tasks.sentiment.output import FORMATS, check_file, read_texts

_AT_ONCE = 256  # lines
_NAMED = 10  # numbers of texts in a message


def open_language_model(path: Path):
    """What `load` opens, if it is a language model.

    Raises:
        ExportError: it is another task's.
    """
    model = load(path)
    if not hasattr(model, "generate"):
        verb = "translate, or score --source FILE --target FILE" if hasattr(model, "translate") else "predict"
        what = "a translation model" if hasattr(model, "translate") else "a classifier"
        raise ExportError(f"{str(path)!r} is no language model but {what}: ask it with nlp-suite {verb}")
    return model


def write_scores(path: Path, file: Path | None, format: str, tokens: bool, html: Path | None, max_length: int) -> None:
    """Prints log-probability and perplexity of every line, and of all together on standard error.

    There it also says which lines were not read whole.

    Args:
        path: what `load` opens.
        file: a text a line; `None` or `-`: standard input.
        format: `table`, `jsonl` or `tsv`; all but the table keep memory flat.
        tokens: the log-probability of every token as well.
        html: a page to write, with every token coloured by its surprise.
        max_length: characters of a text that a table shows.

    Raises:
        ExportError: unknown format, no such file, nothing to score, or `path` is no language model.
    """
    if format not in FORMATS:
        raise ExportError(unknown("output format", format, FORMATS))
    if file not in (None, Path("-")):
        check_file("FILE", file)
    texts = read_texts(["-"], None) if file in (None, Path("-")) else read_texts(None, file)
    model = open_language_model(path)
    total, pages, truncated = _Total(), [], []
    rows = _scored(model, texts, total, pages if html else None, truncated)
    {"table": _table, "jsonl": _jsonl, "tsv": _tsv}[format](rows, tokens, max_length)
    if not total.texts:
        raise ExportError("there is nothing to score: the input has no line")
    print(total.line(), file=sys.stderr)
    limits = "text.max_length, or than task.max_scored of an export,"
    say_truncated(truncated, f"of {total.texts:,} texts were longer than {limits} and cut there")
    if html:
        from nlp_suite.tasks.shared.surprise import surprise_page

        print(f"page: {surprise_page(html, f'Surprise in the eyes of {path}', pages)}", file=sys.stderr)


def say_truncated(numbers: list[int], what: str) -> None:
    """Names on standard error what was not read whole: the numbers of texts, from 1."""
    if numbers:
        named = ", ".join(map(str, numbers[:_NAMED])) + ", …" * (len(numbers) > _NAMED)
        print(f"{len(numbers):,} {what}: number {named}", file=sys.stderr)


class _Total:
    """Sums over all lines."""

    def __init__(self):
        self.texts, self.tokens, self.log_prob = 0, 0, 0.0

    def add(self, answer):
        self.texts += 1
        self.tokens += answer["num_tokens"]
        self.log_prob += answer["log_prob"]

    def line(self) -> str:
        mean = min(-self.log_prob / self.tokens, 700)
        return (
            f"{self.texts:,} texts, {self.tokens:,} tokens, log-probability {self.log_prob:,.2f}, "
            f"perplexity {math.exp(mean):,.2f} a token"
        )


def _scored(model, texts, total, pages, truncated) -> Iterator[tuple[str, dict]]:
    while chunk := list(islice(texts, _AT_ONCE)):
        for text, answer in zip(chunk, model.score(chunk)):
            total.add(answer)
            if answer["truncated"]:
                truncated.append(total.texts)
            if pages is not None:
                pairs = zip(answer["tokens"], answer["token_log_probs"])
                pages.append({"tokens": [{"token": token, "log_prob": value} for token, value in pairs]})
            yield text, answer


def _table(rows, tokens, max_length):
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("text", "log-probability", "perplexity", "tokens")
    for column in table.columns[1:]:
        column.justify = "right"
    for text, answer in rows:
        short = text if len(text) <= max_length else text[: max_length - 1] + "…"
        numbers = (f"{answer['log_prob']:,.3f}", f"{answer['perplexity']:,.2f}", f"{answer['num_tokens']:,}")
        table.add_row(Text(short), *numbers)
        if tokens:
            for token, value in zip(answer["tokens"], answer["token_log_probs"]):
                table.add_row(Text(f"  {token}", style="dim"), f"{value:,.3f}", "", "")
    console.print(table)


def _jsonl(rows, tokens, max_length):
    for text, answer in rows:
        kept = answer if tokens else {k: v for k, v in answer.items() if k not in ("tokens", "token_log_probs")}
        print(json.dumps({"text": text, **kept}, ensure_ascii=False), flush=True)


def _tsv(rows, tokens, max_length):
    writer = csv.writer(sys.stdout, "excel-tab", lineterminator="\n")
    writer.writerow(["text", "token", "log_prob"] if tokens else ["text", "log_prob", "perplexity", "num_tokens"])
    for text, answer in rows:
        if tokens:
            for token, value in zip(answer["tokens"], answer["token_log_probs"]):
                writer.writerow([text, token, f"{value:.6f}"])
        else:
            writer.writerow([text, f"{answer['log_prob']:.6f}", f"{answer['perplexity']:.6f}", answer["num_tokens"]])
        sys.stdout.flush()


def write_generated(path: Path, prompts: list[str], samples: int, as_json: bool, greedy: bool, **options) -> None:
    """Prints continuations of prompts; of a single one to a terminal, token by token as they come.

    Args:
        path: what `load` opens.
        prompts: texts to go on from.
        samples: continuations a prompt, with the seeds `seed`, `seed + 1`, ….
        as_json: a JSON line each, with log-probability and number of tokens.
        greedy: the same as a temperature of 0.
        **options: of `LanguageInference.generate`; None is its default.

    Raises:
        ExportError: `samples` below 1, options that exclude each other, or `path` is no language model.
        RequestError, ValueError: an option out of range. Nothing has been printed then.
    """
    options = {name: value for name, value in options.items() if value is not None}
    options = _checked(options, samples, greedy)
    model = open_language_model(path)
    first = options.pop("seed", 0)
    prompts = [prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for prompt in prompts]
    asked = [(prompt, first + n) for prompt in prompts for n in range(samples)]
    searched = options.get("beam_size", 1) != 1 or options.get("length_penalty", 0) != 0
    if len(asked) == 1 and not as_json and not searched and hasattr(model, "stream"):
        chosen = {name: value for name, value in options.items() if name not in ("beam_size", "length_penalty")}
        pieces = model.stream(prompts[0], seed=first, **chosen)  # refuses options
        print(prompts[0], end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
        return
    answers = model.generate([prompt for prompt, _ in asked], seed=[seed for _, seed in asked], **options)
    for (prompt, seed), answer in zip(asked, answers):
        if as_json:
            print(json.dumps({"prompt": prompt, "seed": seed, **answer}, ensure_ascii=False))
        else:
            print(f"{prompt}{answer['text']}")
            print(f"  ({answer['length']} tokens, log-probability {answer['log_prob']:.2f}, seed {seed})")


def _checked(options: dict, samples: int, greedy: bool) -> dict:
    """Options of one request that do not contradict each other; `greedy` as a temperature."""
    if samples < 1:
        raise ExportError(f"--samples {samples}: allowed are whole numbers from 1")
    if greedy:
        if options.get("temperature"):
            raise ExportError(
                f"--greedy is a temperature of 0: leave it out, or --temperature {options['temperature']}"
            )
        options = {**options, "temperature": 0.0}
    search = options.get("beam_size", 1) > 1
    if samples > 1 and (search or options.get("temperature") == 0):
        raise ExportError(f"--samples {samples}: greedy decoding and beam search always write the same text")
    drawn = [f"--{name.replace('_', '-')}" for name in ("top_k", "top_p", "seed") if name in options]
    if drawn and not search and options.get("temperature") == 0:
        raise ExportError(f"{', '.join(drawn)}: greedy decoding draws nothing at random; leave it out, or sample")
    return options
