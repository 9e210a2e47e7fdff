"""The search of an export compiled by XLA, for a few shapes of its input: every new one compiles for seconds."""

from functools import partial

from nlp_suite.layers.loop_shapes import fixed_shapes
from nlp_suite.tasks._translation_inference import TranslationInference
from nlp_suite.text.text_layer import PAD

SIGNATURE = "translate_xla"
_SHORTEST = 16  # tokens of the narrowest source that is compiled
_ROWS = tuple(2**n for n in range(11))  # of a batch that is compiled


def widths(read: int) -> list[int]:
    """The numbers of source tokens that are compiled: powers of two, and the most that is read.

    Example:
        >>> widths(100)
        [16, 32, 64, 100]
    """
    found = [_SHORTEST]
    while found[-1] < read:
        found.append(found[-1] * 2)
    return [*found[:-1], read]


def compiled_search(inference: TranslationInference):
    """`search(source, most)` in the graph: the best translation of each row, as `TranslationSearch.hypotheses` gives it.

    A source is padded to one of `widths`, each of which has a search of its own, with caches as long as a translation of
    such a source can be. There are as many kernels as shapes that were asked for.

    Args:
        inference: the model at work in Python.

    Returns:
        `search(source int32 [B, S], most int32 [B])` → `tokens` int32 `[B, L]`, `length` int32, `score`, `log_prob`
        float32 `[B]`.
    """
    import tensorflow as tf

    settings, sizes = inference.settings, widths(inference.text.settings.max_length)
    longest = [int(settings.max_length_factor * (size - 1)) + settings.max_length_extra for size in sizes]
    limits = [min(settings.max_tokens, max(most, settings.min_length + 1)) for most in longest]

    def search_of(size, limit):
        @tf.function(jit_compile=True, autograph=False)
        def search(source, most):
            with fixed_shapes():
                found = inference.search.hypotheses(
                    source,
                    most,
                    settings.min_length,
                    settings.length_penalty,
                    settings.coverage_penalty,
                    limit=limit,
                    beam_size=settings.beam_size,
                    n_best=1,
                    no_repeat_ngram=settings.no_repeat_ngram,
                    covers=settings.coverage_penalty > 0,
                )
            return {name: value[:, 0] for name, value in found.items()}

        def padded(source, most):
            source = tf.pad(source, [[0, 0], [0, size - tf.shape(source)[1]]], constant_values=PAD)
            found = search(tf.ensure_shape(source, [None, size]), most)
            tokens = tf.pad(found["tokens"], [[0, 0], [0, settings.max_tokens - limit]])
            return {**found, "tokens": tf.ensure_shape(tokens, [None, settings.max_tokens])}

        return padded

    searches = [search_of(size, limit) for size, limit in zip(sizes, limits, strict=True)]

    def search(source, most):
        place = tf.searchsorted(tf.constant(sizes), tf.shape(source)[1:])[0]
        return tf.switch_case(place, [partial(each, source, most) for each in searches])

    return search


def filled_up(text):
    """Texts `[B]` with empty ones behind them, up to a number of rows that is compiled; and how many there were."""
    import tensorflow as tf

    rows = tf.shape(text)[0]
    place = tf.minimum(tf.searchsorted(tf.constant(_ROWS), [rows])[0], len(_ROWS) - 1)
    whole = tf.gather(_ROWS, place)
    whole = whole * tf.maximum((rows + whole - 1) // whole, 1)  # beyond the last a multiple of it
    return tf.concat([text, tf.fill([whole - rows], "")], 0), rows


def texts_of_all_widths(inference: TranslationInference, texts: list[bytes]) -> list[bytes]:
    """A text for each of `widths`, made of the words of `texts`: a server that is warmed up with them compiles all."""
    words = b" ".join(texts).split() or [b"a"]
    found, low = [], 0
    for size in widths(inference.text.settings.max_length):
        text = _text_of(inference, words, low, size)
        if text is not None:
            found.append(text)
        low = size
    return found


def _text_of(inference, words, low, high):
    """A text of more than `low` and at most `high` tokens; None where none was found."""
    for number in range(1, high + 1):
        text = b" ".join(words[i % len(words)] for i in range(number))
        tokens = len(inference.text.encode([text])[0])
        if low < tokens <= high:
            return text
        if tokens > high:
            return None
    return None
