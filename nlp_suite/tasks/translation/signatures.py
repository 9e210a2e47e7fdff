"""Serving signatures of translation: sentences in, translations out, the whole beam search in the graph.

Every input and output has the batch in dim 0, and a row's answer does not depend on the rows beside it.
"""

import numpy as np

from nlp_suite.tasks.translation.compiled import SIGNATURE, compiled_search, filled_up, texts_of_all_widths
from nlp_suite.tasks.translation.predictor import MOST_NATS, TranslationInference
from nlp_suite.text.text_layer import END, PAD, START, UNKNOWN

METHODS = {}
COMPILED = (SIGNATURE,)  # those that need a server with XLA, written where they are asked for
TOLERANCE = 1e-4  # of the self-check: rounding grows along a hundred tokens that are fed back
EXAMPLE = "A man rides a bicycle."
MISSING = -1e9  # score of what does not exist; JSON has no -inf


def signatures(model, inference: TranslationInference, xla: bool = False):
    """Traces the signatures of a translation model; beams, penalties and limits are those of the task's settings.

    * `serving_default`: `text` string `[B]` → `translation` string `[B]`, `score` float `[B]` (length-normalised),
      `log_prob` float `[B]` (natural logarithm), `length` int32 `[B]` (tokens, END included), `truncated` bool `[B]`:
      whether the text had more tokens than are read. Where `task.long_sources` is `refuse`, such a text has the empty
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
      that is no token counts as unknown.
    * `translate_xla`, where it is asked for: as `serving_default`, its search compiled by XLA, which a stock server must be
      told to have (`--xla_cpu_compilation_enabled`); the first request of each of a few shapes compiles for seconds.

    Args:
        model: `TranslationModel`, under the TensorFlow backend.
        inference: the same model at work in Python: its text layers and limits.
        xla: whether `translate_xla` is one of them.

    Returns:
        A `tf.Module` that holds all resources, and a mapping of signature names to functions.
    """
    import tensorflow as tf

    source_text, target_text, settings = inference.text, inference.target_text, inference.settings
    module = tf.Module()
    module.source, module.target = source_text.graph(), target_text.graph()
    module.weights = [variable.value for variable in model.variables]
    limit, read = settings.max_tokens, source_text.settings.max_length
    n_best = settings.n_best or settings.beam_size

    def searching(number):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)])
        def search(source, most):  # traced once for all signatures
            found = inference.search.as_set(settings, source, most, limit=limit, n_best=number)
            return found | {name: tf.maximum(found[name], MISSING) for name in ("score", "log_prob")}

        return search

    search_best = searching(1)
    search_n_best = search_best if n_best == 1 else searching(n_best)

    def encode(text, layer=module.source, read=read):
        """texts `[B]` → ids int32 `[B, S]`, their number `[B]`, and which were truncated `[B]`."""
        values, length, whole = layer.encode_flat(text)
        ids = tf.RaggedTensor.from_row_lengths(values, length, validate=False).to_tensor(PAD)
        return ids, length, whole > read

    def most_tokens(source, length, truncated):
        """How many tokens the translation of each source may have, int32 `[B]`, see `TranslationInference`."""
        tokens = length - 1  # without END
        allowed = tf.cast(tf.cast(tokens, tf.float64) * settings.max_length_factor, tf.int32)
        allowed = tf.maximum(allowed + settings.max_length_extra, settings.min_length + 1)
        most = tf.where(tokens > 0, tf.minimum(limit, allowed), 0)
        return tf.where(truncated, 0, most) if settings.long_sources == "refuse" else most

    def decode(tokens, length):
        text = module.target.decode(tokens, length)
        return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")

    def best_of(text):
        source, length, truncated = encode(text)
        found = search_best(source, most_tokens(source, length, truncated))
        return source, length, truncated, {name: value[:, 0] for name, value in found.items()}

    def answers(best, truncated):
        outputs = {name: best[name] for name in ("score", "log_prob", "length")}
        return outputs | {"translation": decode(best["tokens"], best["length"]), "truncated": truncated}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(text):
        (text,), rows = _at_least_one([text])
        _, _, truncated, best = best_of(text)
        return _first(answers(best, truncated), rows)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def translate_n_best(text):
        (text,), rows = _at_least_one([text])
        source, length, truncated = encode(text)
        found = search_n_best(source, most_tokens(source, length, truncated))
        shape = tf.shape(found["length"])
        flat = decode(tf.reshape(found["tokens"], [-1, limit]), tf.reshape(found["length"], [-1]))
        outputs = {
            "translations": tf.reshape(flat, shape),
            "scores": found["score"],
            "log_probs": found["log_prob"],
            "lengths": found["length"],
            "truncated": truncated,
        }
        return _first(outputs, rows)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def attention(text):
        (text,), rows = _at_least_one([text])
        source, length, truncated, best = best_of(text)
        tokens = best["tokens"][:, : tf.maximum(tf.reduce_max(best["length"]), 1)]  # [B, T]
        _, weights = model.forced(model.encode(source), _shifted(tokens, best["length"]))  # [B, T, S]
        there = tf.sequence_mask(best["length"], tf.shape(tokens)[1])
        outputs = {
            "translation": decode(best["tokens"], best["length"]),
            "source_tokens": _surfaces(source_text, source, length),
            "target_tokens": _surfaces(target_text, tokens, best["length"]),
            "weights": tf.where(there[:, :, None], weights, 0.0),
            "source_length": length,
            "target_length": best["length"],
            "truncated": truncated,
        }
        return _first(outputs, rows)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="source"),
            tf.TensorSpec([None], tf.string, name="target"),
        ]
    )
    def score(source, target):
        (source, target), rows = _at_least_one([source, target])
        tokens, _, cut = encode(source)
        targets, length, cut_target = encode(target, module.target, target_text.settings.max_length)  # [B, T], [B], [B]
        nll, _ = model.nll_of(model.encode(tokens), _shifted(targets, length), targets)
        truncated = cut | cut_target
        refused = truncated & (settings.long_sources == "refuse")
        length = tf.where(refused, 0, length)
        log_probs = tf.where(tf.sequence_mask(length, tf.shape(targets)[1]), -nll, 0.0)
        total = tf.where(refused, MISSING, tf.reduce_sum(log_probs, axis=1))
        mean = total / tf.cast(tf.maximum(length, 1), tf.float32)
        outputs = {
            "log_prob": total,
            "perplexity": tf.exp(tf.minimum(-mean, MOST_NATS)),
            "num_tokens": length,
            "tokens": _surfaces(target_text, targets, length),
            "token_log_probs": log_probs,
            "length": length,
            "truncated": truncated,
        }
        return _first(outputs, rows)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="tokens"),
            tf.TensorSpec([None], tf.int32, name="length"),
        ]
    )
    def tokens(tokens, length):
        rows = tf.shape(tokens)[0]
        extra = tf.cast(tf.equal(rows, 0), tf.int32)
        tokens, length = tf.pad(tokens, [[0, extra], [0, 0]]), tf.pad(tf.reshape(length, [-1]), [[0, extra]])
        source, length, truncated = _clean(tokens, length, read, source_text.vocabulary_size)
        found = search_best(source, most_tokens(source, length, truncated))
        outputs = {name: found[name][:, 0] for name in ("tokens", "score", "log_prob", "length")}
        return _first({**outputs, "truncated": truncated}, rows)

    made = {
        "serving_default": serving_default,
        "translate_n_best": translate_n_best,
        "attention": attention,
        "score": score,
        "tokens": tokens,
    }
    if xla:
        search_compiled = compiled_search(inference)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def translate_xla(text):
            text, rows = filled_up(tf.reshape(text, [-1]))
            source, length, truncated = encode(text)
            found = search_compiled(source, most_tokens(source, length, truncated))
            best = found | {name: tf.maximum(found[name], MISSING) for name in ("score", "log_prob")}
            return _first(answers(best, truncated), rows)

        made[SIGNATURE] = translate_xla
    return module, made


def _shifted(tokens, length):
    """What the decoder reads before each token: START and all but the last; PAD from `length` on. int32 `[B, T]`"""
    import tensorflow as tf

    before = tf.pad(tokens[:, :-1], [[0, 0], [1, 0]], constant_values=START)
    there = tf.sequence_mask(tf.maximum(length, 1), tf.shape(tokens)[1])
    return tf.where(there, before, PAD)


def _surfaces(text, tokens, length):
    """Surface forms string `[B, T]` of ids, "" from `length` on."""
    import tensorflow as tf

    table = tf.constant(text.id_to_token(range(text.vocabulary_size)))  # [V]
    return tf.where(tf.sequence_mask(length, tf.shape(tokens)[1]), tf.gather(table, tokens), "")


def _clean(tokens, length, read, vocabulary_size):
    """Ids that the network knows, END last in every row, PAD after it; their number; and which rows were truncated."""
    import tensorflow as tf

    width = tf.shape(tokens)[1]
    tokens = tf.pad(tokens, [[0, 0], [0, 1]])  # room for an END
    length = tf.clip_by_value(length, 0, width)
    last = tf.reduce_sum(tf.where(tf.range(width + 1) == length[:, None] - 1, tokens, 0), axis=1)
    kept = tf.minimum(length - tf.cast(last == END, tf.int32), read - 1)  # without END
    truncated = length - tf.cast(last == END, tf.int32) > read - 1
    tokens = tf.where((tokens > PAD) & (tokens < vocabulary_size), tokens, UNKNOWN)
    place = tf.range(width + 1)[None, :]
    tokens = tf.where(place < kept[:, None], tokens, tf.where(place == kept[:, None], END, PAD))
    return tokens[:, : tf.reduce_max(kept) + 1], kept + 1, truncated


def _at_least_one(columns):
    """Columns of strings `[B]`; an empty batch gets one row of empty ones. Also the number of rows there were."""
    import tensorflow as tf

    rows = tf.shape(columns[0])[0]
    extra = tf.fill([tf.cast(tf.equal(rows, 0), tf.int32)], "")
    return [tf.concat([tf.reshape(column, [-1]), extra], 0) for column in columns], rows


def _first(outputs, rows):
    return {name: value[:rows] for name, value in outputs.items()}


def compiled_cases(inference: TranslationInference, texts: list[bytes]) -> list:
    """As `cases`, of the signatures in `COMPILED`."""
    return [(SIGNATURE, *case[1:]) for case in cases(inference, texts) if case[0] == "serving_default"]


def warm_shapes(inference: TranslationInference, texts: list[bytes]) -> list:
    """Requests to `serving_default`, without answers, that make a server which compiles it compile every shape of a text."""
    return [("serving_default", {"text": [text]}, {}) for text in texts_of_all_widths(inference, texts)]


def cases(inference: TranslationInference, texts: list[bytes]) -> list:
    """Requests with expected answers: one of every signature that a stock server answers.

    Args:
        inference: the model in Python.
        texts: N texts to translate. Those are left out whose best two hypotheses are as good as equal, and those that
            are refused for their length.

    Returns:
        (signature, inputs, expected outputs) of each.
    """
    settings = inference.settings
    number = settings.n_best or settings.beam_size
    answers = _decided(inference, texts, max(number, min(2, settings.beam_size)))
    texts, best = list(answers), list(answers.values())
    translations = [answer["translation"].encode("utf-8") for answer in best]
    numbers = {
        "score": np.array([answer["score"] for answer in best], "float32"),
        "log_prob": np.array([answer["log_prob"] for answer in best], "float32"),
        "length": np.array([answer["length"] for answer in best], "int32"),
        "truncated": np.array([answer["truncated"] for answer in best]),
    }
    rows = inference.text.encode(texts)
    source = inference.text.pad(rows)
    scores = inference.score(texts, translations)
    weights = np.zeros((len(texts), max(1, numbers["length"].max()), source.shape[1]), "float32")
    for row, answer in zip(weights, best):
        for cells, each in zip(row, answer["attention"]):
            cells[: len(each)] = each
    return [
        ("serving_default", {"text": list(texts)}, {"translation": translations, **numbers}),
        (
            "translate_n_best",
            {"text": list(texts)},
            {"scores": np.array([_filled(answer["hypotheses"], number) for answer in best], "float32")},
        ),
        (
            "attention",
            {"text": list(texts)},
            {"translation": translations, "weights": weights, "truncated": numbers["truncated"]},
        ),
        (
            "score",
            {"source": list(texts), "target": translations},
            {
                "log_prob": np.array([score["log_prob"] for score in scores], "float32"),
                "truncated": np.array([score["truncated"] for score in scores]),
            },
        ),
        (
            "tokens",
            {"tokens": source, "length": np.array([len(row) for row in rows], "int32")},
            {**numbers, "truncated": np.zeros(len(rows), bool)},  # these ids are what is left
        ),
    ]


def _filled(hypotheses, number) -> list[float]:
    """The scores of N hypotheses, `MISSING` where there are fewer."""
    scores = [hypothesis["score"] for hypothesis in hypotheses[:number]]
    return scores + [MISSING] * (number - len(scores))


def _decided(inference, texts, number) -> dict:
    """Texts, always one, of which no other translation is as good as the best, with their answers."""
    if inference.settings.long_sources == "refuse":
        _, full = inference.text.encode_with_lengths(texts)
        texts = [text for text, length in zip(texts, full) if length <= inference.text.settings.max_length]

    def answers(texts):
        return dict(zip(texts, inference.translate(texts, n_best=number, attention=True)))

    kept = {}
    for text, answer in answers(texts).items():
        scores = [hypothesis["score"] for hypothesis in answer["hypotheses"]]
        if len(scores) < 2 or scores[0] - scores[1] > 1e-3:
            kept[text] = answer
    return kept or answers([b""])
