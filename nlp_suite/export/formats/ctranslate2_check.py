"""A CTranslate2 model is compared with the network that it was made from, before anyone sees it."""

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.ctranslate2_spec import tokens_of
from nlp_suite.text.text_layer import END, NEVER_GENERATED, PAD, START

_CLEAR = 1e-3  # nats by which the best choice must lead
_ROWS = 16


def check_translator(translator, model, inference, texts, tolerance: float) -> dict:
    """Asks CTranslate2 and Python for the same translations, greedy and by beam search, and the same log-probabilities.

    Greedy translations must be the same wherever every token was a clear choice. A beam search without length penalty
    must give translations as good as Python's: CTranslate2 keeps as many unfinished hypotheses as the beam has, ours
    takes finished ones out of the beam, so neither finds a subset of what the other finds. Log-probabilities, of all
    tokens of both beams' translations, must agree.

    Args:
        translator: `ctranslate2.Translator`.
        model: the `TranslationModel`.
        inference: it at work in Python.
        texts: what is translated.
        tolerance: largest difference of a token's log-probability; relative above 1.

    Returns:
        `rows`, `largest_difference`, `greedy_clear` (how many were clear), `beam_same`, `beam_worse`.

    Raises:
        ExportError: an answer differs.
    """
    asked = _Asked(translator, inference)
    rows = inference.text.encode(texts)
    kept = [i for i, row in enumerate(rows) if row[0] != END]  # both say that the translation of nothing is empty
    texts, rows = [texts[i] for i in kept], [rows[i] for i in kept]
    result = {"rows": len(rows), "largest_difference": 0.0, "greedy_clear": 0, "beam_same": 0, "beam_worse": 0}
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        greedy, theirs = asked.ours(part, 1), asked.theirs(part, 1)
        clear = _clear(model, inference.text.pad(part), greedy)
        result["greedy_clear"] += sum(clear)
        for text, mine, other, sure in zip(texts[start:], greedy, theirs, clear):
            if sure and mine != other:
                raise ExportError(f"CTranslate2 translates {text!r} to the tokens {other}, Python to {mine}")
        size = inference.settings.beam_size
        mine, theirs = asked.ours(part, size), asked.theirs(part, size)
        found = asked.difference(part, mine + theirs, tolerance)
        result["largest_difference"] = max(result["largest_difference"], found.pop("difference"))
        totals = np.array(found["total"]).reshape(2, -1)
        result["beam_same"] += sum(one == other for one, other in zip(mine, theirs))
        result["beam_worse"] += int((totals[1] < totals[0] - _CLEAR * np.maximum(1, np.abs(totals[0]))).sum())
    if result["beam_worse"] > len(rows) / 4:
        raise ExportError(
            f"{result['beam_worse']} of {len(rows)} translations that CTranslate2's beam search finds are less probable "
            "than Python's"
        )
    return result


class _Asked:
    """Both sides with token ids in and out; END is left out at the end."""

    def __init__(self, translator, inference):
        self._translator, self._inference = translator, inference
        text, target = inference.text, inference.target_text
        self._source, self._target = tokens_of(text), tokens_of(target)
        self._ids = {token: i for i, token in enumerate(self._target)}
        self._most = min(inference.settings.max_tokens, 50)

    def ours(self, rows, beam_size) -> list[list[int]]:
        inference, count = self._inference, len(rows)
        found = inference.search.beam(
            inference.text.pad(rows),
            np.full(count, self._most, "int32"),
            np.zeros(count, "int32"),
            0.0,
            0.0,
            limit=self._most,
            beam_size=beam_size,
            n_best=1,
            no_repeat_ngram=0,
            covers=False,
        )
        pairs = zip(found["tokens"][:, 0], found["length"][:, 0], strict=True)
        return [_without_end(tokens[:length].tolist()) for tokens, length in pairs]

    def theirs(self, rows, beam_size) -> list[list[int]]:
        suppressed = [[self._target[i]] for i in NEVER_GENERATED]
        found = self._translator.translate_batch(
            self._strings(rows),
            beam_size=beam_size,
            length_penalty=0.0,
            max_decoding_length=self._most,
            min_decoding_length=0,
            suppress_sequences=suppressed,
        )
        return [[self._ids[token] for token in each.hypotheses[0]] for each in found]

    def difference(self, rows, targets, tolerance) -> dict:
        """The largest difference of log-probabilities of targets (n lists for each of the rows), and their totals."""
        rows = [*rows] * (len(targets) // len(rows))
        strings = [[self._target[i] for i in target] for target in targets]
        scored = self._translator.score_batch(self._strings(rows), strings)
        width = max(map(len, targets)) + 1
        pad = self._inference.target_text.pad
        before, wanted = pad([[START, *target] for target in targets], width), pad([[*t, END] for t in targets], width)
        nll = self._inference.search.nll(self._inference.text.pad(rows), before, wanted)  # [N, T]
        largest = 0.0
        for row, each in zip(-nll, scored):
            mine, other = row[: len(each.log_probs)], np.array(each.log_probs)
            largest = max(largest, float((np.abs(mine - other) / np.maximum(1, np.abs(mine))).max()))
        if largest > tolerance:
            raise ExportError(
                f"a log-probability of CTranslate2 differs from Python's by {largest:.2g} ({tolerance:g} allowed)"
            )
        return {
            "difference": largest,
            "total": [-row[: min(len(t) + 1, self._most)].sum() for row, t in zip(nll, targets)],
        }

    def _strings(self, rows):
        return [[self._source[i] for i in row] for row in rows]


def _without_end(tokens):
    return tokens[:-1] if tokens and tokens[-1] == END else tokens


def _clear(model, source, targets) -> list[bool]:
    """Whether every token of greedy translations, and the end, led by enough."""
    import keras

    width = max(map(len, targets)) + 1
    before = np.full((len(targets), width), PAD, "int32")
    for row, target in zip(before, targets):
        row[: len(target) + 1] = [START, *target]
    log_probs = model.log_probs(model.forced(model.encode(source), before)[0])  # [B, T, V]
    log_probs = np.array(keras.ops.convert_to_numpy(log_probs))
    log_probs[..., list(NEVER_GENERATED)] = -np.inf
    best = np.sort(log_probs, axis=-1)[..., -2:]  # [B, T, 2]
    lead = np.where(before != PAD, best[..., 1] - best[..., 0], np.inf)  # [B, T]
    return (lead.min(axis=1) > _CLEAR).tolist()
