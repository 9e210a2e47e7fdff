"""The text layer as a TensorFlow graph: normalise, tokenize, truncate, add special tokens; and back."""

import tensorflow as tf

from nlp_suite.config import TextSettings
from nlp_suite.text.normalise import normalise, stop_word_list
from nlp_suite.text.tokenizers.base import END, PAD, START, Tokenizer


class TextGraph(tf.Module):
    """Raw strings to padded ids and back, as functions to be called from other functions.

    Attach it to an exported module (`module.text = layer.graph()`), so that its tables are saved with it. All ops
    run on the CPU and are known to TensorFlow Serving 2.13 and later.

    Args:
        settings: the text section of the config.
        tokenizer: a trained one, or an untrained one if only `normalise` is to be used.

    Example:
        >>> tokens, length = layer.graph().encode(tf.constant(["A fine film.", ""]))
    """

    def __init__(self, settings: TextSettings, tokenizer: Tokenizer):
        super().__init__(name="text")
        self._settings, self._from_end = settings, settings.model_copy(update={"truncation": "tail"})
        self._tokenizer = tokenizer
        with tf.init_scope(), tf.device("CPU:0"):
            self._stop_words = stop_word_list(settings)
            self._resources = tokenizer.resources() if tokenizer.vocabulary_size else {}

    def _normalise(self, text, settings):
        text = normalise(text, settings, self._stop_words)
        return self._tokenizer.prepare(text)

    def _encode(self, text, settings, max_length):
        """tf.string [B] → ids as RaggedTensor int32 [B, (T)], their number before truncation int32 [B]."""
        ids = self._tokenizer.tokenize(self._normalise(text, settings), self._resources)
        whole = tf.cast(ids.row_lengths(), tf.int32)  # [B]
        starts = tf.cast(ids.row_starts(), tf.int32)  # [B]
        first, last = int(settings.add_start), int(settings.add_end)
        kept = tf.minimum(whole, max_length - first - last)  # [B]
        # A row without any token gets END, added or not: no network and no mask then meets an empty row.
        lengths = tf.maximum(kept + first + last, 1)  # [B]
        head = {"head": kept, "tail": tf.zeros_like(kept), "head_tail": kept - kept // 2}[settings.truncation]

        places = tf.ragged.range(lengths)  # [B, (T)]: 0, 1, … in each row
        rows, place = tf.cast(places.value_rowids(), tf.int32), places.flat_values  # [total]

        def of_row(values):
            return tf.gather(values, rows)

        body = place - first
        skipped = tf.where(body < of_row(head), 0, of_row(whole - kept))
        is_body = (body >= 0) & (body < of_row(kept))
        total = tf.size(ids.flat_values)
        index = tf.where(is_body, of_row(starts) + body + skipped, tf.where(body < 0, total, total + 1))
        values = tf.gather(tf.concat([ids.flat_values, [START, END]], 0), index)  # [total]
        return places.with_flat_values(values), tf.maximum(whole + first + last, 1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def normalise(self, text):
        """tf.string [B] → normalised tf.string [B]."""
        with tf.device("CPU:0"):
            return self._normalise(text, self._settings)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def encode(self, text):
        """tf.string [B] → tokens int32 [B, T], right-padded with PAD to the longest of the batch; length int32 [B]."""
        with tf.device("CPU:0"):
            ids, _ = self._encode(text, self._settings, self._settings.max_length)
            return ids.to_tensor(PAD), tf.cast(ids.row_lengths(), tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def encode_flat(self, text):
        """tf.string [B] → all rows' ids one after the other int32 [total], length int32 [B], untruncated int32 [B]."""
        with tf.device("CPU:0"):
            ids, whole = self._encode(text, self._settings, self._settings.max_length)
            return ids.flat_values, tf.cast(ids.row_lengths(), tf.int32), whole

    def encode_ends(self, text, most):
        """As `encode_flat`, but whatever the settings say, the last `most` ids of a row are kept; int32 [].

        It is no `tf.function` of its own, so that only graphs that call it hold its ops.
        """
        with tf.device("CPU:0"):
            ids, whole = self._encode(text, self._from_end, most)
            return ids.flat_values, tf.cast(ids.row_lengths(), tf.int32), whole

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="tokens"),
            tf.TensorSpec([None], tf.int32, name="length"),
        ]
    )
    def decode(self, tokens, length):
        """tokens int32 [B, T] of which `length` int32 [B] count → tf.string [B]; PAD, START and END are left out."""
        with tf.device("CPU:0"):
            ids = tf.RaggedTensor.from_tensor(tokens, lengths=length)
            ids = tf.ragged.boolean_mask(ids, (ids != PAD) & (ids != START) & (ids != END))
            return self._tokenizer.detokenize(ids, self._resources)
