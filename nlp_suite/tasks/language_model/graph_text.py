"""Texts of several lines and stop strings inside a TensorFlow graph."""

from typing import Any

from nlp_suite.text.text_layer import END, PAD


class GraphLines:
    """Texts of several lines to ids and back: END ends a line.

    Args:
        graph: the `TextGraph`.
        whole: whether a text is one line, in which line breaks are tokens like any other.
    """

    def __init__(self, graph, whole=False):
        import tensorflow as tf

        self._graph, self._whole = graph, whole
        self._decode = tf.function(self.decode, [tf.RaggedTensorSpec([None, None], tf.int32)], autograph=False)

    def _lines(self, texts):
        """The lines of every text, `[B, (lines)]`."""
        import tensorflow as tf

        if self._whole:
            return tf.RaggedTensor.from_tensor(tf.expand_dims(texts, 1))
        return tf.strings.split(texts, "\n")

    def encode(self, texts) -> tuple[Any, Any]:
        """tf.string `[B]` → ids, ragged int32 `[B, (T)]`, and whether a line was cut, bool `[B]`.

        Every line, the last too, ends with END.
        """
        import tensorflow as tf

        lines = self._lines(texts)
        values, lengths, full = self._graph.encode_flat(lines.flat_values)
        cut = tf.reduce_any(lines.with_flat_values(full > lengths), axis=1)  # [B]
        return _of_texts(lines, values, lengths), cut

    def encode_tail(self, texts, max_tokens: int) -> Any:
        """As `encode`, with the last `max_tokens` ids of every line; ids only."""
        lines = self._lines(texts)
        values, lengths, _ = self._graph.encode_tail(lines.flat_values, max_tokens)
        return _of_texts(lines, values, lengths)

    def decode(self, ids) -> Any:
        """Ragged ids `[B, (T)]` → tf.string `[B]`, valid UTF-8, a line break for every END."""
        import tensorflow as tf

        if self._whole:
            texts = self._graph.decode(ids.to_tensor(PAD), tf.cast(ids.row_lengths(), tf.int32))  # [B]
            return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        ends = tf.RaggedTensor.from_tensor(tf.fill([ids.nrows(), 1], END))
        flat = tf.concat([ids, ends], axis=1)  # every line now ends with END
        last = tf.where(tf.equal(flat.flat_values, END))[:, 0]
        lines = tf.RaggedTensor.from_row_splits(flat.flat_values, tf.concat([[0], last + 1], 0), validate=False)
        texts = self._graph.decode(lines.to_tensor(PAD), tf.cast(lines.row_lengths(), tf.int32))  # [lines]
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        counts = tf.reduce_sum(tf.cast(tf.equal(flat, END), tf.int64), axis=1)  # [B]
        ended = tf.RaggedTensor.from_row_lengths(tf.strings.join([texts, "\n"]), counts, validate=False)
        joined = tf.strings.reduce_join(
            ended, axis=-1
        )  # [B]; with a separator it would drop empty lines at the beginning
        size = tf.strings.length(joined) - 1  # without the break after the last line
        return tf.strings.substr(joined, tf.zeros_like(size), size)

    def continuation(self, prompt, new) -> Any:
        """What the text of `prompt + new` has after that of `prompt`; ragged ids `[B, (T)]` each → tf.string `[B]`."""
        import tensorflow as tf

        prompt_text, text = self._decode(prompt), self._decode(tf.concat([prompt, new], axis=1))
        size = tf.minimum(tf.strings.length(prompt_text), tf.strings.length(text))  # [B] bytes
        follows = tf.equal(tf.strings.substr(text, tf.zeros_like(size), size), prompt_text)
        rest = tf.strings.substr(text, size, tf.strings.length(text) - size)
        return tf.where(follows, rest, self._decode(new))


def _of_texts(lines, values, lengths):
    """Ids of lines, `lengths` of them each, as ids of their texts, ragged int32 `[B, (T)]`."""
    import tensorflow as tf

    counts = tf.reduce_sum(lines.with_flat_values(tf.cast(lengths, tf.int64)), axis=1)  # [B]
    return tf.RaggedTensor.from_row_lengths(values, counts, validate=False)


def _split(texts, stop):
    """Each text `[B]` at its stop string `[B]`: the part before it, and whether it occurs; an empty one never does."""
    import tensorflow as tf

    def split_pair(pair):
        # The stop string is put before the text too, so that the first part is empty and splitting is always defined.
        separator = tf.where(tf.equal(pair[1], ""), "\x00", pair[1])  # generated text holds no NUL
        parts = tf.strings.split(pair[0], separator)
        return tf.concat([parts, [""]], 0)[0], tf.size(parts) > 1

    spec = (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.bool))
    return tf.map_fn(split_pair, (texts, stop), fn_output_signature=spec)


def any_stop(texts, stop) -> Any:
    """Whether each text `[B]` holds its stop string `[B]`, bool `[B]`."""
    return _split(texts, stop)[1]


def before_stop(texts, stop) -> Any:
    """Each text `[B]` before its stop string `[B]`; the whole text where it does not occur."""
    return _split(texts, stop)[0]


def shortest_with_stop(text_of, length, stop) -> Any:
    """The least number of tokens `[B]` whose text holds the stop string, by bisection; `length` where none does."""
    import tensorflow as tf

    def body(low, high):
        middle = (low + high) // 2
        holds = any_stop(text_of(middle), stop)
        return tf.where(holds, low, tf.minimum(middle + 1, high)), tf.where(holds, middle, high)

    return tf.while_loop(lambda low, high: tf.reduce_any(low < high), body, (tf.zeros_like(length), length))[1]
