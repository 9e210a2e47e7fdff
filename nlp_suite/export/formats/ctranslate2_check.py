"""A CTranslate2 model is compared with the network that it was made from, before anyone sees it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.ctranslate2_spec import tokens_of
from nlp_suite.text.text_layer import END, NEVER_GENERATED, PAD, START

CLEAR_LEAD = 1e-3  # nats by which the best choice must lead
BATCH_ROWS = 16
MAX_TOKENS = 50  # of a translation that is compared

Row = Sequence[int]


def check_translator(
    translator: Any, model: Any, predictor: Any, texts: Sequence[bytes], tolerance: float
) -> dict[str, Any]:
    """Asks CTranslate2 and Python for the same translations, greedy and by beam search, and the same log-probabilities.

    Greedy translations must be the same wherever every token was a clear choice. A beam search without length penalty
    must give translations as good as Python's: CTranslate2 keeps as many unfinished hypotheses as the beam has, ours
    takes finished ones out of the beam, so neither finds a subset of what the other finds. Log-probabilities, of all
    tokens of both beams' translations, must agree.

    Args:
        translator: `ctranslate2.Translator`.
        model: the `TranslationModel`.
        predictor: the same network's `TranslationPredictor`.
        texts: what is translated.
        tolerance: largest difference of a token's log-probability; relative above 1.

    Returns:
        `rows`, `largest_difference`, `greedy_clear` (how many were clear), `beam_same`, `beam_worse`.

    Raises:
        ExportError: an answer differs.
    """
    sides = _BothSides(translator, predictor)
    encoded = zip(texts, predictor.text.encode(texts))
    pairs = [(text, row) for text, row in encoded if row[0] != END]  # both say that the translation of nothing is empty
    result = {"rows": len(pairs), "largest_difference": 0.0, "greedy_clear": 0, "beam_same": 0, "beam_worse": 0}
    beam_size = predictor.settings.beam_size
    for start in range(0, len(pairs), BATCH_ROWS):
        chunk_texts, rows = zip(*pairs[start : start + BATCH_ROWS])
        ours, theirs = sides.ours(rows, 1), sides.theirs(rows, 1)
        clear = _clear(model, predictor.text.pad(rows), ours)
        result["greedy_clear"] += sum(clear)
        for text, our_tokens, their_tokens, is_clear in zip(chunk_texts, ours, theirs, clear):
            if is_clear and our_tokens != their_tokens:
                raise ExportError(
                    f"CTranslate2 translates {text!r} to the tokens {their_tokens}, Python to {our_tokens}"
                )
        ours, theirs = sides.ours(rows, beam_size), sides.theirs(rows, beam_size)
        difference, log_probs = sides.compare_log_probs(rows, ours + theirs, tolerance)
        result["largest_difference"] = max(result["largest_difference"], difference)
        our_scores, their_scores = log_probs.reshape(2, -1)
        result["beam_same"] += sum(ours[i] == theirs[i] for i in range(len(rows)))
        slack = CLEAR_LEAD * np.maximum(1, np.abs(our_scores))
        result["beam_worse"] += int((their_scores < our_scores - slack).sum())
    if result["beam_worse"] > len(pairs) / 4:
        raise ExportError(
            f"{result['beam_worse']} of {len(pairs)} translations that CTranslate2's beam search finds are less probable "
            "than Python's"
        )
    return result


class _BothSides:
    """CTranslate2 and Python with token ids in and out; END is left out at the end."""

    def __init__(self, translator: Any, predictor: Any):
        self._translator, self._predictor = translator, predictor
        self._source, self._target = tokens_of(predictor.text), tokens_of(predictor.target_text)
        self._ids = {token: i for i, token in enumerate(self._target)}
        self._max_tokens = min(predictor.settings.max_tokens, MAX_TOKENS)

    def ours(self, rows: Sequence[Row], beam_size: int) -> list[list[int]]:
        """Python's translations."""
        answers = self._predictor.search.beam(
            self._predictor.text.pad(rows),
            np.full(len(rows), self._max_tokens, "int32"),
            np.zeros(len(rows), "int32"),
            0.0,
            0.0,
            limit=self._max_tokens,
            beam_size=beam_size,
            n_best=1,
            no_repeat_ngram=0,
            use_coverage=False,
        )
        pairs = zip(answers["tokens"][:, 0], answers["length"][:, 0], strict=True)
        return [_without_end(tokens[:length].tolist()) for tokens, length in pairs]

    def theirs(self, rows: Sequence[Row], beam_size: int) -> list[list[int]]:
        """CTranslate2's translations."""
        answers = self._translator.translate_batch(
            self._strings(rows),
            beam_size=beam_size,
            length_penalty=0.0,
            max_decoding_length=self._max_tokens,
            min_decoding_length=0,
            suppress_sequences=[[self._target[i]] for i in NEVER_GENERATED],
        )
        return [[self._ids[token] for token in answer.hypotheses[0]] for answer in answers]

    def compare_log_probs(
        self, rows: Sequence[Row], targets: Sequence[Row], tolerance: float
    ) -> tuple[float, np.ndarray]:
        """The largest difference of the log-probabilities of targets' tokens, and Python's sum for every target.

        Args:
            rows: sources.
            targets: n lists for each of the rows.
            tolerance: largest difference allowed.

        Raises:
            ExportError: a larger one.
        """
        rows = [*rows] * (len(targets) // len(rows))
        strings = [[self._target[i] for i in target] for target in targets]
        scored = self._translator.score_batch(self._strings(rows), strings)
        width, pad = max(map(len, targets)) + 1, self._predictor.target_text.pad
        inputs, outputs = pad([[START, *t] for t in targets], width), pad([[*t, END] for t in targets], width)
        log_probs = -self._predictor.search.nll(self._predictor.text.pad(rows), inputs, outputs)  # [N, T]
        largest = 0.0
        for row, answer in zip(log_probs, scored):
            ours, theirs = row[: len(answer.log_probs)], np.array(answer.log_probs)
            largest = max(largest, float((np.abs(ours - theirs) / np.maximum(1, np.abs(ours))).max()))
        if largest > tolerance:
            raise ExportError(
                f"a log-probability of CTranslate2 differs from Python's by {largest:.2g} ({tolerance:g} allowed)"
            )
        lengths = [min(len(target) + 1, self._max_tokens) for target in targets]
        return largest, np.array([row[:length].sum() for row, length in zip(log_probs, lengths)])

    def _strings(self, rows: Sequence[Row]) -> list[list[str]]:
        return [[self._source[i] for i in row] for row in rows]


def _without_end(tokens: list[int]) -> list[int]:
    return tokens[:-1] if tokens and tokens[-1] == END else tokens


def _clear(model: Any, source: np.ndarray, targets: Sequence[Row]) -> list[bool]:
    """Whether every token of greedy translations, and the end, led by enough."""
    import keras

    width = max(map(len, targets)) + 1
    inputs = np.full((len(targets), width), PAD, "int32")
    for row, target in zip(inputs, targets):
        row[: len(target) + 1] = [START, *target]
    log_probs = model.log_probs(model.forced(model.encode(source), inputs)[0])  # [B, T, V]
    log_probs = np.array(keras.ops.convert_to_numpy(log_probs))
    log_probs[..., list(NEVER_GENERATED)] = -np.inf
    best = np.sort(log_probs, axis=-1)[..., -2:]  # [B, T, 2]
    lead = np.where(inputs != PAD, best[..., 1] - best[..., 0], np.inf)  # [B, T]
    return [bool(clear) for clear in lead.min(axis=1) > CLEAR_LEAD]
