"""Trained translation models in Python: translations, n-best lists, attention, scores, under any backend."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from nlp_suite.decoding.sampling import Options
from nlp_suite.errors import RequestError
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.shared.request_checks import (
    SORTED_BATCHES,
    batches_by_length,
    checked_list,
    checked_texts,
    padded_rows,
    padded_width,
)
from nlp_suite.tasks.shared.scores import score_answer
from nlp_suite.tasks.translation.requests import BATCH_ROWS, TranslationRequest, checked_pairs, checked_request
from nlp_suite.tasks.translation.search import TranslationSearch
from nlp_suite.text.statistics import TokensRead
from nlp_suite.text.text_layer import END, START


class TranslationPredictor(Predictor):
    """Translates with networks and their text layers.

    Args:
        models: `TranslationModel`s, built, over the same vocabularies. Of several, an ensemble, every token has their mean
            probability; attention is that of the first.
        text: the `TextLayer` of the source.
        target_text: that of the target; the same object where there is one vocabulary.
        settings: the task's settings: what a request does not say, and limits.

    Example:
        >>> predictor = TranslationPredictor([model], run.text, run.target_text, run.experiment.task)
        >>> predictor.translate(["A dog runs."])[0]["translation"]
        'Ein Hund rennt.'
    """

    task_name = "translation"

    def __init__(self, models, text, target_text, settings):
        self.text, self.target_text, self.settings = text, target_text, settings
        self.search, self._read = TranslationSearch(models), TokensRead(text)

    def remarks(self) -> list[str]:
        """See `Predictor.remarks`."""
        return self._read.remarks()

    def translate(self, texts: Sequence[str | bytes], **options) -> list[dict]:
        """Translates texts.

        Args:
            texts: sentences in the language of the source.
            **options: `beam_size`: hypotheses of the search, 1 is greedy; this and what follows as in the task's settings by
                default.
                `n_best`: how many translations of each, at most `beam_size`; default 1.
                `length_penalty`, `coverage_penalty`, `no_repeat_ngram`: see `beam_search`.
                `min_length`, `max_length`: tokens of a translation, without and with END. Whatever `max_length` says, a
                translation has at most `max_length_factor` tokens a source token and `max_length_extra` (of the settings),
                unless `min_length` wants more.
                `temperature`, `top_k`, `top_p`, `seed`: with any of the first three one translation is sampled instead,
                see `nlp_suite.decoding.sampling.Options`; one value or one a text.
                `attention`: whether every hypothesis comes with its attention.
                `before`: how many texts of the same list came in earlier calls; an error counts from there.

        Returns:
            For each text a mapping of the best hypothesis (`"translation"`, its length-normalised `"score"`, the natural
            `"log_prob"`, the `"length"` in tokens, END included, the `"tokens"`, and `"attention"` `[T][S]` if asked for),
            of all `"hypotheses"`, best first, and of the `"source_tokens"`; `"truncated"` says whether the text had more
            tokens than the text layer's `max_length`, and the rest was not read. A text of which nothing is left after
            normalisation has the empty translation.

        Raises:
            RequestError: an option out of range, or a text too long where `long_sources` is `refuse`.
            TypeError: not a list of texts.
        """
        texts = checked_texts(texts)
        for name in ("temperature", "top_k", "top_p", "seed"):
            if np.ndim(options.get(name, 0)) and len(options[name]) != len(texts):
                raise RequestError(
                    f"{name} has {len(options[name])} values; allowed: one, or one for each of {len(texts)} texts"
                )
        return list(self.translate_iter(texts, **options))

    def translate_iter(self, texts: Iterable[str | bytes], **options) -> Iterator[dict]:
        """As `translate`, one answer at a time; memory stays flat however many texts come."""
        texts, first = iter(checked_list(texts)), 0
        request = checked_request(self.settings, **options)
        while chunk := checked_texts(islice(texts, BATCH_ROWS * SORTED_BATCHES)):
            yield from self._translated(chunk, first, request)
            first += len(chunk)

    def _translated(self, texts, first, request: TranslationRequest) -> list[dict]:
        """Answers of a chunk of texts, of which `first` is the number of the first."""
        rows, truncated = self._encode(texts, request.before + first)
        max_tokens = np.array([self._max_tokens(row, request) for row in rows], "int32")
        sampling = request.sampling and Options.broadcast(
            len(rows), **self._of_chunk(request.sampling, first, len(rows))
        )
        hypotheses: list[Any] = [None] * len(rows)
        for batch in batches_by_length([len(row) for row in rows], BATCH_ROWS):
            source, count = self._padded([rows[i] for i in batch]), len(batch)
            limit = _limit(max_tokens[batch].max(), self.settings.max_tokens)
            filler = np.zeros(len(source) - count, "int32")
            counts = np.append(max_tokens[batch], filler)
            if sampling:
                chosen = Options(*(np.append(np.asarray(option)[batch], filler) for option in sampling))
                answer = self.search.sample(source, counts, chosen, limit)
                answer = {name: value[:, None] for name, value in answer.items()}
                answer["score"] = answer["log_prob"] / ((5.0 + answer["length"]) / 6.0) ** request.length_penalty
            else:
                answer = self.search.beam(
                    source,
                    counts,
                    np.full(len(source), request.min_length, "int32"),
                    request.length_penalty,
                    request.coverage_penalty,
                    limit=limit,
                    beam_size=request.beam_size,
                    n_best=request.n_best,
                    no_repeat_ngram=request.no_repeat_ngram,
                    use_coverage=request.coverage_penalty > 0,
                )
            for row, i in enumerate(batch):
                number = request.before + first + i
                hypotheses[i] = self._hypotheses({name: value[row] for name, value in answer.items()}, number, request)
        return self._answers(rows, truncated, hypotheses, request)

    def _of_chunk(self, sampling, first, count):
        """Options of sampling for a chunk: those given one a text are cut out."""
        return {
            name: value if np.ndim(value) == 0 else value[first : first + count] for name, value in sampling.items()
        }

    def _hypotheses(self, answer, number, request) -> list[dict]:
        """Token ids and numbers of a text's hypotheses, best first."""
        exists = answer["score"] > -np.inf
        if not exists.any():
            raise RequestError(
                f"text {number + 1} has no translation with min_length {request.min_length} and no_repeat_ngram "
                f"{request.no_repeat_ngram}: no token is left; lower one of them"
            )
        names = ("tokens", "length", "score", "log_prob")
        return [
            {"ids": tokens[:length], "score": float(score), "log_prob": float(log_prob)}
            for tokens, length, score, log_prob in zip(*(answer[name][exists] for name in names))
        ]

    def _answers(self, rows, truncated, hypotheses, request) -> list[dict]:
        """Answers of texts with the hypotheses of each."""
        flat = [hypothesis for of_text in hypotheses for hypothesis in of_text]
        texts = self.target_text.decode([hypothesis["ids"] for hypothesis in flat])
        if request.attention:
            sources = [row for row, of_text in zip(rows, hypotheses) for _ in of_text]
            targets = [hypothesis["ids"] for hypothesis in flat]
            for hypothesis, weights in zip(flat, self._attention(sources, targets)):
                hypothesis["attention"] = weights
        complete = iter(
            {
                "translation": text,
                "score": hypothesis["score"],
                "log_prob": hypothesis["log_prob"],
                "length": len(hypothesis["ids"]),
                "tokens": self.target_text.id_to_token(hypothesis["ids"]),
                **({"attention": hypothesis["attention"]} if request.attention else {}),
            }
            for text, hypothesis in zip(texts, flat)
        )
        answers = []
        for row, cut, of_text in zip(rows, truncated, hypotheses):
            named = list(islice(complete, len(of_text)))
            source_tokens = self.text.id_to_token(row)
            answers.append({**named[0], "truncated": cut, "hypotheses": named, "source_tokens": source_tokens})
        return answers

    def _attention(self, sources, targets) -> list[list[list[float]]]:
        """Weights `[T][S]` of the first model for every pair of source ids and target ids, by teacher forcing."""
        answers: list[list[list[float]]] = [[]] * len(sources)
        order = [i for i, target in enumerate(targets) if len(target)]
        for batch in batches_by_length([len(targets[i]) for i in order], BATCH_ROWS):
            chosen = [order[i] for i in batch]
            source = self._padded([sources[i] for i in chosen])
            target_in, _ = self._forced([targets[i] for i in chosen], len(source))
            weights = self.search.attention(source, target_in)  # [B, T, S]
            for row, i in enumerate(chosen):
                answers[i] = weights[row, : len(targets[i]), : len(sources[i])].tolist()
        return answers

    def score(self, sources: Sequence[str | bytes], targets: Sequence[str | bytes], before: int = 0) -> list[dict]:
        """Log-probabilities of given translations.

        Args:
            sources: texts.
            targets: a translation of each.
            before: how many pairs of the same list came in earlier calls; an error counts from there.

        Returns:
            For each pair `{"log_prob", "perplexity" (a token), "num_tokens", "tokens", "token_log_probs", "truncated"}`,
            natural logarithms, END included; `truncated`: whether one of the two was cut to its text layer's `max_length`.

        Raises:
            RequestError: as many sources as targets are needed; or a text too long where `long_sources` is `refuse`.
        """
        sources, targets = checked_pairs(sources, targets)
        rows, cut = self._encode(sources, before)
        target_rows, cut_target = self._encode(targets, before, target=True)
        answers: list[Any] = [None] * len(rows)
        for batch in batches_by_length([len(row) for row in target_rows], BATCH_ROWS):
            source = self._padded([rows[i] for i in batch])
            target_in, labels = self._forced([target_rows[i] for i in batch], len(source))
            nll = self.search.nll(source, target_in, labels)  # [B, T]
            for row, i in enumerate(batch):
                tokens = self.target_text.id_to_token(target_rows[i])
                answers[i] = score_answer(-nll[row, : len(tokens)], tokens, cut[i] or cut_target[i])
        return answers

    def _encode(self, texts, first, target=False):
        """Ids of texts, each with END, and which of them were truncated."""
        text = self.target_text if target else self.text
        rows, full = text.encode_with_lengths(texts)
        if not target:
            self._read.add(texts, rows)
        truncated = (full > [len(row) for row in rows]).tolist()
        if any(truncated) and self.settings.long_sources == "refuse":
            i, limit = truncated.index(True), text.settings.max_length
            what, key = ("target", "target_text") if target else ("text", "text")
            given, key = (f"{full[i]} tokens", f"{key}.max_length")
            if full[i] <= limit:
                given, limit, key = "more characters", text.settings.max_characters, f"{key}.max_characters"
            raise RequestError(
                f"{what} {first + i + 1} has {given}; allowed: {limit} ({key}), unless task.long_sources is truncate"
            )
        return rows, truncated

    def _max_tokens(self, row, request) -> int:
        """How many tokens the translation of a source may have; those asked for at least, and END, have room in them."""
        if len(row) == 1 and row[0] == END:
            return 0
        tokens = len(row) - int(row[-1] == END)
        allowed = int(self.settings.max_length_factor * tokens) + self.settings.max_length_extra
        return min(request.max_length, max(allowed, request.min_length + 1))

    def _padded(self, rows):
        """Source ids `[B, S]`; rows beyond those given hold an END."""
        rows = [*rows, *([np.array([END], "int32")] * (padded_rows(len(rows)) - len(rows)))]
        return self.text.pad(rows, padded_width(rows))

    def _forced(self, rows, count):
        """What the decoder reads, START and all but the last token, and what it predicts; `[B, T]` each."""
        rows = [*rows, *([np.array([END], "int32")] * (count - len(rows)))]
        targets = self.target_text.pad(rows, padded_width(rows))
        target_in = [np.concatenate([[START], row[:-1]]).astype("int32") for row in rows]
        return self.target_text.pad(target_in, targets.shape[1]), targets


def _limit(max_tokens: int, max_limit: int) -> int:
    """The width of a search's answer, which its graph is made for: 32, 64, …, or `max_limit`."""
    return min(max_limit, max(32, 1 << (int(max_tokens) - 1).bit_length())) if max_tokens > 0 else min(max_limit, 32)
