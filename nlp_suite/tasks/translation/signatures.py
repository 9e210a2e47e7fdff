"""Serving signatures of translation: sentences in, translations out, the whole beam search in the graph."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import Signatures, checked_tokens, fill_empty_batch, first_rows
from nlp_suite.tasks.shared.scores import MAX_NLL_PER_TOKEN
from nlp_suite.tasks.translation.compiled import SIGNATURE, compiled_search, fill_to_power_of_two, texts_of_all_widths
from nlp_suite.text.text_layer import END, PAD, START, UNKNOWN

if TYPE_CHECKING:
    from nlp_suite.tasks.translation.predictor import TranslationPredictor

MISSING = -1e9  # score of what does not exist; JSON has no -inf


class TranslationSignatures(Signatures):
    """The signatures of a translation model; beams, penalties and limits are those of the task's settings.

    * `serving_default`: `text` string `[B]` → `translation` string `[B]`, `score` float `[B]` (length-normalised),
      `log_prob` float `[B]` (natural logarithm), `length` int32 `[B]` (tokens, END included), `truncated` bool `[B]`:
      whether the text had more tokens or characters than are read. Where `task.long_sources` is `refuse`, such a text has the empty
      translation, here and below. So has an empty text.
    * `translate_n_best`: `text` → `translations` string, `scores`, `log_probs` float, `lengths` int32, `[B, N]` each, best
      first (where there are fewer, the last are empty with scores of -1e9), and `truncated`. N is `task.n_best`.
    * `attention`: `text` → `translation`, `source_tokens` string `[B, S]`, `target_tokens` string `[B, T]`, `weights` float
      `[B, T, S]` (a row sums to 1; 0 at padding), `source_length`, `target_length` int32 `[B]`, and `truncated`.
    * `score`: `source`, `target` string `[B]` → `log_prob`, `perplexity` (a token) float `[B]`, `num_tokens`, `length` int32
      `[B]`, `tokens` string `[B, T]`, `token_log_probs` float `[B, T]`; at and after `length` "" and 0; `truncated` bool
      `[B]`: whether one of the two had more tokens than are read. Where `task.long_sources` is `refuse`, such a pair has
      the log_prob -1e9, the perplexity e^80 and no token.
    * `tokens`: `tokens` int32 `[B, S]` (of the source, END last), `length` int32 `[B]` → `tokens` int32 `[B, L]`, `score`,
      `log_prob`, `length`, `truncated`. What stands at or after `length` is ignored; a row of length 0 is the empty text; an id
      that is not in the vocabulary and a length beyond S are errors, PAD counts as unknown.
    * `translate_xla`, where it is asked for: as `serving_default`, its search compiled by XLA, which a stock server must be
      told to have (`--xla_cpu_compilation_enabled`); the first request of each of a few shapes compiles for seconds.

    Args:
        model: `TranslationModel`.
        predictor: the same model's `TranslationPredictor`.
        xla: whether `translate_xla` is one of them.
    """

    predictor: "TranslationPredictor"
    tolerance = 1e-4  # rounding grows along a hundred tokens that are fed back
    example = "A man rides a bicycle."

    def __init__(self, model, predictor, xla=False):
        super().__init__(model, predictor)
        self.compiled = {"serving_default": SIGNATURE} if xla else {}
        self.source_text, self.target_text, self.settings = predictor.text, predictor.target_text, predictor.settings
        self.module.source, self.module.target = self.source_text.graph(), self.target_text.graph()
        self.max_source_tokens = self.source_text.settings.max_length
        self.n_best = self.settings.n_best or self.settings.beam_size
        self._search_best = self._search(1)  # traced once for all signatures
        self._search_n_best = self._search_best if self.n_best == 1 else self._search(self.n_best)

    def functions(self) -> dict[str, Callable]:
        text = {"text": ([None], "string")}
        traced = {
            "serving_default": self.traced(self.serving_default, **text),
            "translate_n_best": self.traced(self.translate_n_best, **text),
            "attention": self.traced(self.attention, **text),
            "score": self.traced(self.score, source=([None], "string"), target=([None], "string")),
            "tokens": self.traced(self.tokens, tokens=([None, None], "int32"), length=([None], "int32")),
        }
        if self.compiled:
            self._search_compiled = compiled_search(self.predictor)
            traced[SIGNATURE] = self.traced(self.translate_xla, **text)
        return traced

    def _search(self, n_best):
        import tensorflow as tf

        def search(source, max_tokens):
            limit = self.settings.max_tokens
            answer = self.predictor.search.search_with_settings(
                self.settings, source, max_tokens, limit=limit, n_best=n_best
            )
            return answer | {name: tf.maximum(answer[name], MISSING) for name in ("score", "log_prob")}

        return self.traced(search, source=([None, None], "int32"), max_tokens=([None], "int32"))

    def _encode(self, text):
        """Sources string `[B]` → ids int32 `[B, S]`, their number `[B]`, and which were truncated `[B]`."""
        return self.module.source.encode_flagged(text)

    def _max_tokens(self, length, truncated):
        """How many tokens the translation of each source may have, int32 `[B]`, see `TranslationPredictor`."""
        import tensorflow as tf

        settings, tokens = self.settings, length - 1  # without END
        allowed = tf.cast(tf.cast(tokens, tf.float64) * settings.max_length_factor, tf.int32)
        allowed = tf.maximum(allowed + settings.max_length_extra, settings.min_length + 1)
        allowed = tf.where(tokens > 0, tf.minimum(settings.max_tokens, allowed), 0)
        return tf.where(truncated, 0, allowed) if settings.long_sources == "refuse" else allowed

    def _decode(self, tokens, length):
        import tensorflow as tf

        text = self.module.target.decode(tokens, length)
        return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")

    def _best(self, source, length, truncated):
        answer = self._search_best(source, self._max_tokens(length, truncated))
        return {name: value[:, 0] for name, value in answer.items()}

    def _outputs(self, best, truncated):
        outputs = {name: best[name] for name in ("score", "log_prob", "length")}
        return outputs | {"translation": self._decode(best["tokens"], best["length"]), "truncated": truncated}

    def serving_default(self, text) -> dict[str, Any]:
        (text,), rows = fill_empty_batch(text)
        source, length, truncated = self._encode(text)
        return first_rows(self._outputs(self._best(source, length, truncated), truncated), rows)

    def translate_n_best(self, text) -> dict[str, Any]:
        import tensorflow as tf

        (text,), rows = fill_empty_batch(text)
        source, length, truncated = self._encode(text)
        answer = self._search_n_best(source, self._max_tokens(length, truncated))
        shape, limit = tf.shape(answer["length"]), self.settings.max_tokens
        flat = self._decode(tf.reshape(answer["tokens"], [-1, limit]), tf.reshape(answer["length"], [-1]))
        outputs = {
            "translations": tf.reshape(flat, shape),
            "scores": answer["score"],
            "log_probs": answer["log_prob"],
            "lengths": answer["length"],
            "truncated": truncated,
        }
        return first_rows(outputs, rows)

    def attention(self, text) -> dict[str, Any]:
        import tensorflow as tf

        (text,), rows = fill_empty_batch(text)
        source, length, truncated = self._encode(text)
        best = self._best(source, length, truncated)
        tokens = best["tokens"][:, : tf.maximum(tf.reduce_max(best["length"]), 1)]  # [B, T]
        _, weights = self.model.forced(self.model.encode(source), _decoder_inputs(tokens, best["length"]))  # [B, T, S]
        target_mask = tf.sequence_mask(best["length"], tf.shape(tokens)[1])
        outputs = {
            "translation": self._decode(best["tokens"], best["length"]),
            "source_tokens": _surfaces(self.source_text, source, length),
            "target_tokens": _surfaces(self.target_text, tokens, best["length"]),
            "weights": tf.where(target_mask[:, :, None], weights, 0.0),
            "source_length": length,
            "target_length": best["length"],
            "truncated": truncated,
        }
        return first_rows(outputs, rows)

    def score(self, source, target) -> dict[str, Any]:
        import tensorflow as tf

        (source, target), rows = fill_empty_batch(source, target)
        tokens, _, cut = self._encode(source)
        targets, length, cut_target = self.module.target.encode_flagged(target)  # [B, T], [B], [B]
        nll, _ = self.model.nll_of(self.model.encode(tokens), _decoder_inputs(targets, length), targets)
        truncated = cut | cut_target
        refused = truncated & (self.settings.long_sources == "refuse")
        length = tf.where(refused, 0, length)
        log_probs = tf.where(tf.sequence_mask(length, tf.shape(targets)[1]), -nll, 0.0)
        total = tf.where(refused, MISSING, tf.reduce_sum(log_probs, axis=1))
        mean = total / tf.cast(tf.maximum(length, 1), tf.float32)
        outputs = {
            "log_prob": total,
            "perplexity": tf.exp(tf.minimum(-mean, MAX_NLL_PER_TOKEN)),
            "num_tokens": length,
            "tokens": _surfaces(self.target_text, targets, length),
            "token_log_probs": log_probs,
            "length": length,
            "truncated": truncated,
        }
        return first_rows(outputs, rows)

    def tokens(self, tokens, length) -> dict[str, Any]:
        (tokens, length), rows = fill_empty_batch(tokens, length)
        tokens, length = checked_tokens(tokens, length, self.source_text.vocabulary_size)
        source, length, truncated = _clean(tokens, length, self.max_source_tokens)
        best = self._best(source, length, truncated)
        outputs = {name: best[name] for name in ("tokens", "score", "log_prob", "length")}
        return first_rows({**outputs, "truncated": truncated}, rows)

    def translate_xla(self, text) -> dict[str, Any]:
        import tensorflow as tf

        text, rows = fill_to_power_of_two(tf.reshape(text, [-1]))
        source, length, truncated = self._encode(text)
        best = self._search_compiled(source, self._max_tokens(length, truncated))
        best |= {name: tf.maximum(best[name], MISSING) for name in ("score", "log_prob")}
        return first_rows(self._outputs(best, truncated), rows)

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        """One request of every signature that a stock server answers.

        Texts are left out whose best two hypotheses are as good as equal, and those that are refused for their length.
        """
        predictor, settings = self.predictor, self.settings
        answers = _decided(predictor, texts, max(self.n_best, min(2, settings.beam_size)))
        texts, best = list(answers), list(answers.values())
        translations = [answer["translation"].encode("utf-8") for answer in best]
        numbers = {
            "score": np.array([answer["score"] for answer in best], "float32"),
            "log_prob": np.array([answer["log_prob"] for answer in best], "float32"),
            "length": np.array([answer["length"] for answer in best], "int32"),
            "truncated": np.array([answer["truncated"] for answer in best]),
        }
        rows = self.source_text.encode(texts)
        source = self.source_text.pad(rows)
        scores = predictor.score(texts, translations)
        score_outputs = {
            "log_prob": np.array([score["log_prob"] for score in scores], "float32"),
            "truncated": np.array([score["truncated"] for score in scores]),
        }
        weights = np.zeros((len(texts), max(1, numbers["length"].max()), source.shape[1]), "float32")
        for row, answer in zip(weights, best):
            for cells, target in zip(row, answer["attention"]):
                cells[: len(target)] = target
        attention = {"translation": translations, "weights": weights, "truncated": numbers["truncated"]}
        n_best = np.array([_filled(answer["hypotheses"], self.n_best) for answer in best], "float32")
        token_inputs = {"tokens": source, "length": np.array([len(row) for row in rows], "int32")}
        complete = {**numbers, "truncated": np.zeros(len(rows), bool)}  # these ids are what is left
        return [
            Case("serving_default", {"text": texts}, {"translation": translations, **numbers}),
            Case("translate_n_best", {"text": texts}, {"scores": n_best}),
            Case("attention", {"text": texts}, attention),
            Case("score", {"source": texts, "target": translations}, score_outputs),
            Case("tokens", token_inputs, complete),
        ]

    def compiled_cases(self, texts: Sequence[bytes]) -> list[Case]:
        """The request to `serving_default` of `cases`, for the signature that XLA compiles."""
        return [Case(SIGNATURE, case.inputs, case.outputs) for case in self.cases(texts)[:1]]

    def compiled_warmup(self, texts: Sequence[bytes]) -> list[Case]:
        """Requests to `serving_default` that make a server which compiles it compile every shape of a text."""
        return [Case("serving_default", {"text": [text]}, {}) for text in texts_of_all_widths(self.predictor, texts)]


def _decoder_inputs(tokens, length):
    """What the decoder reads before each token, int32 `[B, T]`: START and all but the last; PAD from `length` on."""
    import tensorflow as tf

    inputs = tf.pad(tokens[:, :-1], [[0, 0], [1, 0]], constant_values=START)
    mask = tf.sequence_mask(tf.maximum(length, 1), tf.shape(tokens)[1])
    return tf.where(mask, inputs, PAD)


def _surfaces(text, tokens, length):
    """Surface forms string `[B, T]` of ids, "" from `length` on."""
    import tensorflow as tf

    table = tf.constant(text.id_to_token(range(text.vocabulary_size)))  # [V]
    return tf.where(tf.sequence_mask(length, tf.shape(tokens)[1]), tf.gather(table, tokens), "")


def _clean(tokens, length, max_tokens):
    """Ids that the network knows, END last in every row, PAD after it; their number; and which rows were truncated."""
    import tensorflow as tf

    width = tf.shape(tokens)[1]
    tokens = tf.pad(tokens, [[0, 0], [0, 1]])  # room for an END
    last = tf.reduce_sum(tf.where(tf.range(width + 1) == length[:, None] - 1, tokens, 0), axis=1)
    count = tf.minimum(length - tf.cast(last == END, tf.int32), max_tokens - 1)  # without END
    truncated = length - tf.cast(last == END, tf.int32) > max_tokens - 1
    tokens = tf.where(tokens == PAD, UNKNOWN, tokens)
    position = tf.range(width + 1)[None, :]
    tokens = tf.where(position < count[:, None], tokens, tf.where(position == count[:, None], END, PAD))
    return tokens[:, : tf.reduce_max(count) + 1], count + 1, truncated


def _filled(hypotheses, number) -> list[float]:
    """The scores of N hypotheses, `MISSING` where there are fewer."""
    scores = [hypothesis["score"] for hypothesis in hypotheses[:number]]
    return scores + [MISSING] * (number - len(scores))


def _decided(predictor, texts, number) -> dict:
    """Texts, always one, of which no other translation is as good as the best, with their answers."""
    if predictor.settings.long_sources == "refuse":
        texts = [text for text, row, full in zip(texts, *predictor.text.encode_with_lengths(texts)) if len(row) == full]

    def answers(texts):
        return dict(zip(texts, predictor.translate(texts, n_best=number, attention=True)))

    decided = {}
    for text, answer in answers(texts).items():
        scores = [hypothesis["score"] for hypothesis in answer["hypotheses"]]
        if len(scores) < 2 or scores[0] - scores[1] > 1e-3:
            decided[text] = answer
    return decided or answers([b""])
