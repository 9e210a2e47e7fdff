"""Scores of texts for a terminal or a program: a row a text, the sum of all on standard error, a page of surprise."""

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from nlp_suite.data.table_writing import DelimitedWriter
from nlp_suite.errors import UnknownNameError, UsageError
from nlp_suite.predictor import Predictor, ScoreOptions
from nlp_suite.registry import unknown
from nlp_suite.tasks.shared.lines import TABLE_FORMATS, shortened

CHUNK_LINES = 256
NAMED_TEXTS = 10  # numbers of texts in a message


@dataclass
class Scores:
    """Answers of `score` on their way to the output, counted.

    Attributes:
        options: how they are shown.
        texts, tokens, log_prob: sums.
        adapted: the same as `log_prob` by name of what adapts.
        truncated: numbers, from 1, of the texts that were not read whole.
        pages: tokens of every text, for the page; empty without one.
    """

    options: ScoreOptions
    texts: int = 0
    tokens: int = 0
    log_prob: float = 0.0
    adapted: dict[str, float] = field(default_factory=dict)
    truncated: list[int] = field(default_factory=list)
    pages: list[dict] = field(default_factory=list)

    def add(self, answer: dict) -> None:
        """Counts one answer."""
        self.texts += 1
        self.tokens += answer["num_tokens"]
        self.log_prob += answer["log_prob"]
        for name, values in answer.get("adapted", {}).items():
            self.adapted[name] = self.adapted.get(name, 0.0) + values["log_prob"]
        if answer["truncated"]:
            self.truncated.append(self.texts)
        if self.options.html:
            pairs = zip(answer["tokens"], answer["token_log_probs"])
            self.pages.append({"tokens": [{"token": token, "log_prob": value} for token, value in pairs]})

    def write(self, rows: Iterable[tuple[str, dict]], title: str, cut: str) -> None:
        """Prints rows of text and answer, then on standard error the sum and which texts were not read whole.

        Args:
            rows: answers that were counted.
            title: of the page.
            cut: the end of the sentence on texts that were not read whole, `"of {texts} …"`.

        Raises:
            UsageError: there was no text.
        """
        options = self.options
        write = {"table": _table, "jsonl": _jsonl, "tsv": _tsv}[options.format]
        write(rows, options.tokens, options.max_characters, list(options.adapt.settings) if options.adapt else [])
        if not self.texts:
            raise UsageError("there is nothing to score: the input has no line")
        head = f"{self.texts:,} texts, {self.tokens:,} tokens"
        for start, total in {head: self.log_prob, **self.adapted}.items():
            mean = min(-total / self.tokens, 700)  # beyond, a float has no number for its exponential
            numbers = f"log-probability {total:,.2f}, perplexity {math.exp(mean):,.2f} a token"
            print(f"{start}{',' if start == head else ':'} {numbers}", file=sys.stderr)
        report_truncated(self.truncated, cut.format(texts=f"{self.texts:,}"))
        if options.html:
            from nlp_suite.tasks.shared.surprise import surprise_page

            print(f"page: {surprise_page(options.html, title, self.pages)}", file=sys.stderr)


def check_format(format: str, allowed: tuple[str, ...] = TABLE_FORMATS) -> None:
    """Raises UnknownNameError for an output format that there is not."""
    if format not in allowed:
        raise UnknownNameError(unknown("output format", format, allowed))


def report_remarks(predictor: Predictor) -> None:
    """Says on standard error what a predictor has to say of the texts that it read."""
    for line in predictor.remarks():
        print(line, file=sys.stderr)


def report_truncated(numbers: list[int], what: str) -> None:
    """Names on standard error what was not read whole: the numbers of texts, from 1."""
    if numbers:
        named = ", ".join(map(str, numbers[:NAMED_TEXTS])) + ", …" * (len(numbers) > NAMED_TEXTS)
        print(f"{len(numbers):,} {what}: number {named}", file=sys.stderr)


def _table(rows, tokens, max_characters, adapted):
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("text", "log-probability", "perplexity", *(f"perplexity, {name}" for name in adapted), "tokens")
    for column in table.columns[1:]:
        column.justify = "right"
    for text, answer in rows:
        perplexities = [answer["perplexity"], *(answer["adapted"][name]["perplexity"] for name in adapted)]
        numbers = (
            f"{answer['log_prob']:,.3f}",
            *(f"{value:,.2f}" for value in perplexities),
            f"{answer['num_tokens']:,}",
        )
        table.add_row(Text(shortened(text, max_characters)), *numbers)
        if tokens:
            for token, value in zip(answer["tokens"], answer["token_log_probs"]):
                table.add_row(Text(f"  {token}", style="dim"), f"{value:,.3f}")
    console.print(table)


def _jsonl(rows, tokens, max_characters, adapted):
    for text, answer in rows:
        shown = answer if tokens else _without_tokens(answer)
        print(json.dumps({"text": text, **shown}, ensure_ascii=False), flush=True)


def _without_tokens(answer):
    shown = {key: value for key, value in answer.items() if key not in ("tokens", "token_log_probs")}
    if "adapted" in shown:
        shown["adapted"] = {name: _without_tokens(values) for name, values in shown["adapted"].items()}
    return shown


def _tsv(rows, tokens, max_characters, adapted):
    columns = ["text", "token", "log_prob"] if tokens else ["text", "log_prob", "perplexity", "num_tokens"]
    columns += [f"{name}_log_prob" for name in adapted]
    writer = DelimitedWriter(sys.stdout, "\t", columns)
    for text, answer in rows:
        if tokens:
            values = [answer["token_log_probs"], *(answer["adapted"][name]["token_log_probs"] for name in adapted)]
            for token, *log_probs in zip(answer["tokens"], *values):
                writer.write([text, token, *(f"{value:.6f}" for value in log_probs)])
        else:
            others = [f"{answer['adapted'][name]['log_prob']:.6f}" for name in adapted]
            numbers = [f"{answer['log_prob']:.6f}", f"{answer['perplexity']:.6f}", answer["num_tokens"]]
            writer.write([text, *numbers, *others])
        sys.stdout.flush()
