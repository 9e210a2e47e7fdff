"""The search of an export compiled by XLA, for a few shapes of its input: every new one compiles for seconds."""

from functools import partial

from nlp_suite.layers.loop_shapes import fixed_shapes
from nlp_suite.text.text_layer import PAD

SIGNATURE = "translate_xla"
_SHORTEST = 16  # tokens of the narrowest source that is compiled
_ROWS = tuple(2**n for n in range(31))  # of a batch that is compiled


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


def compiled_search(predictor):
    """`search(source, most)` in the graph: the best translation of each row, as `TranslationSearch.hypotheses` gives it.

    A source is padded to one of `widths`, each of which has a search of its own, with caches as long as a translation of
    such a source can be. There are as many kernels as shapes that were asked for.

    Args:
        predictor: a `TranslationPredictor`.

    Returns:
        `search(source int32 [B, S], most int32 [B])` → `tokens` int32 `[B, L]`, `length` int32, `score`, `log_prob`
        float32 `[B]`.
    """
    import tensorflow as tf

    settings, sizes = predictor.settings, widths(predictor.text.settings.max_length)
    longest = [int(settings.max_length_factor * (size - 1)) + settings.max_length_extra for size in sizes]
    limits = [min(settings.max_tokens, max(most, settings.min_length + 1)) for most in longest]

    def search_of(size, limit):
        @tf.function(jit_compile=True, autograph=False)
        def search(source, most):
            with fixed_shapes():
                found = predictor.search.search_with_settings(settings, source, most, limit=limit, n_best=1)
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


def fill_to_power_of_two(text):
    """Texts `[B]` with empty ones behind them, up to a power of two of rows; and how many there were."""
    import tensorflow as tf

    rows = tf.shape(text)[0]
    whole = tf.gather(_ROWS, tf.searchsorted(tf.constant(_ROWS), [rows])[0])
    return tf.concat([text, tf.fill([whole - rows], "")], 0), rows


def texts_of_all_widths(predictor, texts: list[bytes]) -> list[bytes]:
    """A text for each of `widths`, cut from `texts`: a server that is warmed up with them compiles all.

    A width is left out where no such text was found, as where a character more is many tokens more.
    """
    whole = b" ".join(texts).decode("utf-8", "replace").strip() or "a"
    found, low = [], 0
    for size in widths(predictor.text.settings.max_length):
        text = _text_of(predictor, whole, low, size)
        if text is not None:
            found.append(text.encode("utf-8"))
        low = size
    return found


def _text_of(predictor, whole, low, high):
    """The beginning of a text, again and again if need be, that has more than `low` and at most `high` tokens; or None."""
    _, count = predictor.text.encode_with_lengths([whole])
    times = -(-high // max(count[0] - 1, 1))
    whole = " ".join([whole] * times)
    shortest, longest = 1, len(whole)
    while shortest <= longest:
        middle = (shortest + longest) // 2
        _, (tokens,) = predictor.text.encode_with_lengths([whole[:middle]])
        if low < tokens <= high:
            return whole[:middle]
        if tokens > high:
            longest = middle - 1
        else:
            shortest = middle + 1
    return None
