"""The search of an export compiled by XLA, for a few shapes of its input: every new one compiles for seconds."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nlp_suite.layers.loop_shapes import fixed_shapes
from nlp_suite.text.text_layer import PAD

SIGNATURE = "translate_xla"
MIN_WIDTH = 16  # tokens of the narrowest source that is compiled
BATCH_ROWS = tuple(2**n for n in range(31))  # of the batches that are compiled


def widths(max_tokens: int) -> list[int]:
    """The numbers of source tokens that are compiled: powers of two, and the maximum that is read.

    Example:
        >>> widths(100)
        [16, 32, 64, 100]
    """
    sizes = [MIN_WIDTH]
    while sizes[-1] < max_tokens:
        sizes.append(sizes[-1] * 2)
    return [*sizes[:-1], max_tokens]


def compiled_search(predictor) -> Callable:
    """`search(source, max_tokens)` in the graph: the best translation of each row, as `TranslationSearch.hypotheses` gives it.

    A source is padded to one of `widths`, each of which has its own search, with caches as long as a translation of such a
    source can be. There are as many kernels as shapes that were asked for.

    Args:
        predictor: a `TranslationPredictor`.

    Returns:
        `search(source int32 [B, S], max_tokens int32 [B])` → `tokens` int32 `[B, L]`, `length` int32, `score`, `log_prob`
        float32 `[B]`.
    """
    import tensorflow as tf

    settings, sizes = predictor.settings, widths(predictor.text.settings.max_length)
    longest = [int(settings.max_length_factor * (size - 1)) + settings.max_length_extra for size in sizes]
    limits = [min(settings.max_tokens, max(tokens, settings.min_length + 1)) for tokens in longest]

    def search_of(size, limit):
        @tf.function(jit_compile=True, autograph=False)
        def search(source, max_tokens):
            with fixed_shapes():
                best = predictor.search.search_with_settings(settings, source, max_tokens, limit=limit, n_best=1)
            return {name: value[:, 0] for name, value in best.items()}

        def padded(source, max_tokens):
            source = tf.pad(source, [[0, 0], [0, size - tf.shape(source)[1]]], constant_values=PAD)
            best = search(tf.ensure_shape(source, [None, size]), max_tokens)
            tokens = tf.pad(best["tokens"], [[0, 0], [0, settings.max_tokens - limit]])
            return {**best, "tokens": tf.ensure_shape(tokens, [None, settings.max_tokens])}

        return padded

    searches = [search_of(size, limit) for size, limit in zip(sizes, limits, strict=True)]

    def search(source, max_tokens):
        index = tf.searchsorted(tf.constant(sizes), tf.shape(source)[1:])[0]
        return tf.switch_case(index, [partial(of_size, source, max_tokens) for of_size in searches])

    return search


def fill_to_power_of_two(text) -> tuple[Any, Any]:
    """Texts `[B]` with empty ones behind them, up to a power of two of rows; and how many there were."""
    import tensorflow as tf

    rows = tf.shape(text)[0]
    filled = tf.gather(BATCH_ROWS, tf.searchsorted(tf.constant(BATCH_ROWS), [rows])[0])
    return tf.concat([text, tf.fill([filled - rows], "")], 0), rows


def texts_of_all_widths(predictor, texts: Sequence[bytes]) -> list[bytes]:
    """A text for each of `widths`, cut from `texts`: a server that is warmed up with them compiles all.

    A width is left out where there is no such text, as where one character more is many tokens more.
    """
    joined = b" ".join(texts).decode("utf-8", "replace").strip() or "a"
    chosen, low = [], 0
    for size in widths(predictor.text.settings.max_length):
        text = _text_of(predictor, joined, low, size)
        if text is not None:
            chosen.append(text.encode("utf-8"))
        low = size
    return chosen


def _text_of(predictor, text, low, high):
    """The beginning of a text, repeated if need be, that has more than `low` and at most `high` tokens; or None."""
    _, count = predictor.text.encode_with_lengths([text])
    times = -(-high // max(count[0] - 1, 1))
    text = " ".join([text] * times)
    shortest, longest = 1, len(text)
    while shortest <= longest:
        middle = (shortest + longest) // 2
        _, (tokens,) = predictor.text.encode_with_lengths([text[:middle]])
        if low < tokens <= high:
            return text[:middle]
        if tokens > high:
            longest = middle - 1
        else:
            shortest = middle + 1
    return None
