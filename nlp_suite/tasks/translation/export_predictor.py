"""A translation model's SavedModel in Python, with the methods and answers of `TranslationPredictor`."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from nlp_suite.errors import ExportError, RequestError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.shared.request_checks import (
    SORTED_BATCHES,
    as_bytes,
    batches_by_length,
    checked_int,
    checked_list,
    checked_texts,
)
from nlp_suite.tasks.shared.scores import score_answers
from nlp_suite.tasks.translation.requests import BATCH_ROWS, checked_pairs
from nlp_suite.tasks.translation.signatures import MISSING


class SavedModelTranslation(Predictor):
    """The signatures `serving_default`, `translate_n_best`, `attention` and `score` of an export.

    Args:
        signatures: the opened SavedModel.
    """

    task_name = "translation"

    def __init__(self, signatures: LoadedSignatures):
        self._ask = signatures

    def translate(self, texts: Sequence[str | bytes], **options) -> list[dict]:
        """See `TranslationPredictor.translate`; `"tokens"` and `"source_tokens"` come with `attention` only.

        Args:
            texts: sentences in the language of the source.
            **options: `n_best`, `attention` and `before` as there; an n-best list has no attention.

        Raises:
            ExportError: options of the search, which an export has fixed.
            RequestError: an option out of range, or a text too long where the export refuses such.
        """
        return list(self.translate_iter(checked_texts(texts), **options))

    def translate_iter(
        self, texts: Iterable[str | bytes], *, n_best: int = 1, attention: bool = False, before: int = 0, **search
    ) -> Iterator[dict]:
        """As `translate`, one answer at a time; memory stays flat however many texts come."""
        if fixed := [name for name, value in search.items() if value is not None]:
            raise ExportError(f"{', '.join(fixed)}: fixed in an export by the settings of its task; use the run folder")
        experiment = self._ask.experiment()
        settings = experiment.task
        max_n_best = settings.n_best or settings.beam_size
        number = checked_int("n_best", n_best, 1, max_n_best, "what the export was made with")
        if attention and number > 1:
            raise RequestError(
                f"attention with n_best {number}: an export gives that of the best translation only; allowed: n_best 1, or "
                "the run folder, which gives that of all"
            )
        ask = self._attention if attention else self._n_best if number > 1 else self._best
        texts = iter(checked_list(texts))
        while chunk := checked_texts(islice(texts, BATCH_ROWS * SORTED_BATCHES)):
            raw = as_bytes(chunk)
            answers: list[Any] = [None] * len(raw)
            for batch in batches_by_length([len(text) for text in raw], BATCH_ROWS):
                for i, answer in zip(batch, ask([raw[i] for i in batch], number)):
                    answers[i] = answer
            for answer in answers:
                before += 1
                if answer["truncated"] and settings.long_sources == "refuse":
                    limit, characters = experiment.text.max_length, experiment.text.max_characters
                    raise RequestError(
                        f"text {before} has more than {limit} tokens; allowed: {limit} (text.max_length), of at most "
                        f"{characters} characters (text.max_characters)"
                    )
                yield answer

    def _best(self, texts, number):
        outputs = self._ask("serving_default", text=texts)
        return [
            _answer([_hypothesis(*row)], cut)
            for *row, cut in zip(
                *(outputs[name] for name in ("translation", "score", "log_prob", "length", "truncated"))
            )
        ]

    def _n_best(self, texts, number):
        outputs = self._ask("translate_n_best", text=texts)
        answers = []
        for row, cut in enumerate(outputs["truncated"]):
            columns = (outputs[name][row, :number] for name in ("translations", "scores", "log_probs", "lengths"))
            hypotheses = [_hypothesis(*values) for values in zip(*columns)]
            answers.append(_answer([h for i, h in enumerate(hypotheses) if not i or h["score"] > MISSING], cut))
        return answers

    def _attention(self, texts, number):
        outputs = self._ask("attention", text=texts)
        answers = self._best(texts, number)
        for row, answer in enumerate(answers):
            source, target = int(outputs["source_length"][row]), int(outputs["target_length"][row])
            attended = {
                "tokens": [token.decode("utf-8", "replace") for token in outputs["target_tokens"][row][:target]],
                "attention": outputs["weights"][row, :target, :source].tolist(),
            }
            answer["hypotheses"][0].update(attended)
            answer.update(attended)
            answer["source_tokens"] = [
                token.decode("utf-8", "replace") for token in outputs["source_tokens"][row][:source]
            ]
        return answers

    def score(self, sources: Sequence[str | bytes], targets: Sequence[str | bytes], before: int = 0) -> list[dict]:
        """See `TranslationPredictor.score`.

        Raises:
            RequestError: as many sources as targets are needed; or a text too long where the export refuses such.
        """
        experiment = self._ask.experiment()
        sources, targets = checked_pairs(sources, targets)
        answers = []
        for start in range(0, len(sources), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            outputs = self._ask("score", source=as_bytes(sources[rows]), target=as_bytes(targets[rows]))
            for row, truncated in enumerate(outputs["truncated"]):
                if truncated and experiment.task.long_sources == "refuse":
                    limit = experiment.text.max_length
                    target_limit = (experiment.target_text or experiment.text).max_length
                    raise RequestError(
                        f"pair {before + start + row + 1} has more tokens than are allowed: {limit} of a source "
                        f"(text.max_length), {target_limit} of a target (target_text.max_length); or more characters than "
                        "max_characters"
                    )
            answers += score_answers(outputs)
        return answers


def _hypothesis(translation, score, log_prob, length) -> dict:
    return {
        "translation": translation.decode("utf-8"),
        "score": float(score),
        "log_prob": float(log_prob),
        "length": int(length),
    }


def _answer(hypotheses, truncated) -> dict:
    return {**hypotheses[0], "truncated": bool(truncated), "hypotheses": hypotheses}
