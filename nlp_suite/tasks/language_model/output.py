"""Scores and generated text of a language model, for a terminal or a program."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_suite.data.text_tables import column_of
from nlp_suite.errors import UsageError
from nlp_suite.export.predict_table import open_text_table
from nlp_suite.predictor import ScoreOptions
from nlp_suite.tasks.shared.lines import read_texts, requested_table
from nlp_suite.tasks.shared.opening import open_model
from nlp_suite.tasks.shared.score_output import CHUNK_LINES, Scores, report_remarks
from nlp_suite.training.run import Run, is_run

STDIN = Path("-")


def write_scores(predictor, options: ScoreOptions) -> None:
    """Prints log-probability and perplexity of every line, or of every row of a table, and of all on standard error.

    There it also says which texts were not read whole. With `options.adapt` the texts are read in their order and all at once,
    and what a model learned from one counts in the next.

    Raises:
        UsageError: a source or a target, no such file, nothing to score, or an export that is to adapt.
    """
    if options.source or options.target:
        raise UsageError(
            f"{str(options.model)!r} is a language model, which scores texts: give FILE or - for standard input, and neither "
            "--source nor --target"
        )
    if options.adapt and not is_run(options.model):
        raise UsageError(f"{str(options.model)!r} is an export, which does not adapt: give its run folder")
    file = None if options.file == STDIN else options.file
    texts: Iterator[str]
    if table := requested_table(None, file, options.column):
        opened = open_text_table(predictor, table, column_of(options.column))
        texts = (text or "" for _, text in opened.rows())
    else:
        texts = read_texts(["-"] if file is None else None, file)
    scores = Scores(options)

    def rows() -> Iterator[tuple[str, dict]]:
        while chunk := list(islice(texts, None if options.adapt else CHUNK_LINES)):
            answers = predictor.score(chunk)
            if options.adapt:
                from nlp_suite.tasks.language_model.adaptation.scores import add_adapted

                add_adapted(Run(options.model), options.adapt.settings, predictor.encode(chunk), answers)
            for text, answer in zip(chunk, answers):
                scores.add(answer)
                yield text, answer

    limits = "text.max_length, or than task.max_scored of an export,"
    cut = f"of {{texts}} texts were longer than {limits} and cut there"
    scores.write(rows(), f"Surprise of {options.model}", cut)
    report_remarks(predictor)


@dataclass(frozen=True)
class Request:
    """What a model is given, as its methods take it, and what is printed of it."""

    prompt: str
    chat: list[dict[str, str]] | None = None

    @property
    def shown(self) -> str:
        """What stands before the continuation; of a chat only the answer is printed."""
        return "" if self.chat else self.prompt


def prompts(texts: list[str] | None, system: str | None) -> list[Request]:
    """Requests to continue texts.

    Raises:
        UsageError: there is something that only a chat has.
    """
    if system is not None:
        raise UsageError("--system is said in a chat: give --chat, too")
    return [Request(_valid(text)) for text in texts or [""]]


def chats(texts: list[str] | None, system: str | None) -> list[Request]:
    """Requests to answer a user's messages.

    Raises:
        UsageError: there is no message.
    """
    if not texts:
        raise UsageError("--chat answers messages: give --prompt")
    before = [] if system is None else [{"role": "system", "content": _valid(system)}]
    messages = [_valid(text) for text in texts]
    return [Request(text, [*before, {"role": "user", "content": text}]) for text in messages]


def _valid(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def write_generated(path: Path, given: list[Request], samples: int, as_json: bool, greedy: bool, **options) -> None:
    """Prints continuations of prompts, or answers; of a single one to a terminal, token by token as they come.

    Args:
        path: what `nlp_suite.load` opens.
        given: what is asked.
        samples: continuations a prompt, with the seeds `seed`, `seed + 1`, ….
        as_json: a JSON line each, with log-probability and number of tokens.
        greedy: the same as a temperature of 0.
        **options: of `LanguageModelPredictor.generate`; None is its default.

    Raises:
        UsageError: `samples` below 1, options that exclude each other, or `path` is no language model.
        RequestError: an option out of range. Nothing has been printed then.
    """
    options = {name: value for name, value in options.items() if value is not None}
    options = _checked(options, samples, greedy)
    model: Any = open_model(path, "language_model")  # `LanguageModelPredictor`, or an export with its methods
    first = options.pop("seed", 0)
    requests = [(request, first + n) for request in given for n in range(samples)]
    searched = options.get("beam_size", 1) != 1 or options.get("length_penalty", 0) != 0
    if len(requests) == 1 and not as_json and not searched and model.stream:
        sampling = {name: value for name, value in options.items() if name not in ("beam_size", "length_penalty")}
        (request,) = given
        asked = {"chat": request.chat} if request.chat else {"prompt": request.prompt}
        pieces = model.stream(**asked, seed=first, **sampling)  # refuses options
        print(request.shown, end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
        return
    if any(request.chat for request in given):
        options["chat"] = [request.chat for request, _ in requests]
    else:
        options["prompts"] = [request.prompt for request, _ in requests]
    answers = model.generate(seed=[seed for _, seed in requests], **options)
    for (request, seed), answer in zip(requests, answers):
        if as_json:
            print(json.dumps({"prompt": request.prompt, "seed": seed, **answer}, ensure_ascii=False))
        else:
            print(f"{request.shown}{answer['text']}")
            print(f"  ({answer['length']} tokens, log-probability {answer['log_prob']:.2f}, seed {seed})")


def _checked(options: dict, samples: int, greedy: bool) -> dict:
    """Options of one request that do not contradict each other; `greedy` as a temperature."""
    if samples < 1:
        raise UsageError(f"--samples {samples}: allowed are whole numbers from 1")
    if greedy:
        if options.get("temperature"):
            raise UsageError(f"--greedy is a temperature of 0: leave it out, or --temperature {options['temperature']}")
        options = {**options, "temperature": 0.0}
    search = options.get("beam_size", 1) > 1
    if samples > 1 and (search or options.get("temperature") == 0):
        raise UsageError(f"--samples {samples}: greedy decoding and beam search always write the same text")
    drawn = [f"--{name.replace('_', '-')}" for name in ("top_k", "top_p", "seed") if name in options]
    if drawn and not search and options.get("temperature") == 0:
        raise UsageError(f"{', '.join(drawn)}: greedy decoding draws nothing at random; leave it out, or sample")
    return options
