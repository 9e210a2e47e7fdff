"""The text layer as a TensorFlow graph: normalise, tokenize, truncate, add special tokens; and back."""

import tensorflow as tf

from nlp_suite.config import TextSettings
from nlp_suite.text.normalise import normalise, stop_word_list
from nlp_suite.text.tokenizers.base import END, PAD, START, Tokenizer


class TextGraph(tf.Module):
    """Raw strings to padded ids and back, as `tf.function`s that other graphs call.

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
        self._settings, self._tail_settings = settings, settings.model_copy(update={"truncation": "tail"})
        self._tokenizer = tokenizer
        with tf.init_scope(), tf.device("CPU:0"):
            self._stop_words = stop_word_list(settings)
            self._resources = tokenizer.resources() if tokenizer.vocabulary_size else {}

    def _normalise(self, text, settings):
        text, is_cut = normalise(text, settings, self._stop_words)
        return self._tokenizer.prepare(text), is_cut

    def _encode(self, text, settings, max_length):
        """tf.string [B] → ids as RaggedTensor int32 [B, (T)], their number before truncation int32 [B].

        A text cut at `max_characters`, the rest of which is not tokenized, counts one more than there were without it.
        """
        text, is_cut = self._normalise(text, settings)
        ids = self._tokenizer.tokenize(text, self._resources)
        full = tf.cast(ids.row_lengths(), tf.int32)  # [B], tokens of the text
        starts = tf.cast(ids.row_starts(), tf.int32)  # [B]
        start, end = int(settings.add_start), int(settings.add_end)  # how many are added
        kept = tf.minimum(full, max_length - start - end)  # [B], tokens of the text that are not truncated
        # A row without any token gets END, added or not: no network and no mask then meets an empty row.
        lengths = tf.maximum(kept + start + end, 1)  # [B]
        head = {"head": kept, "tail": tf.zeros_like(kept), "head_tail": kept - kept // 2}[settings.truncation]

        positions = tf.ragged.range(lengths)  # [B, (T)]: 0, 1, … in each row
        rows = tf.cast(positions.value_rowids(), tf.int32)  # [total]

        def of_row(values):
            return tf.gather(values, rows)

        position = positions.flat_values - start  # [total], among the tokens kept
        skipped = tf.where(position < of_row(head), 0, of_row(full - kept))
        is_text = (position >= 0) & (position < of_row(kept))
        total = tf.size(ids.flat_values)
        special = tf.where(position < 0, total, total + 1)  # where START and END lie in the table below
        index = tf.where(is_text, of_row(starts) + position + skipped, special)
        values = tf.gather(tf.concat([ids.flat_values, [START, END]], 0), index)  # [total]
        return positions.with_flat_values(values), tf.maximum(full + start + end, 1) + tf.cast(is_cut, tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def normalise(self, text):
        """tf.string [B] → normalised tf.string [B]."""
        with tf.device("CPU:0"):
            return self._normalise(text, self._settings)[0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def encode(self, text):
        """tf.string [B] → tokens int32 [B, T], right-padded with PAD to the longest of the batch; length int32 [B]."""
        return self.encode_flagged(text)[:2]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def encode_flat(self, text):
        """tf.string [B] → ids of all rows, concatenated, int32 [total]; length and untruncated length, int32 [B].

        They differ exactly where something was cut off.
        """
        with tf.device("CPU:0"):
            ids, full = self._encode(text, self._settings, self._settings.max_length)
            return ids.flat_values, tf.cast(ids.row_lengths(), tf.int32), full

    def encode_flagged(self, text):
        """As `encode`, and which texts were cut, bool [B]; not a `tf.function`, for graphs that call it."""
        with tf.device("CPU:0"):
            values, length, full = self.encode_flat(text)
            ids = tf.RaggedTensor.from_row_lengths(values, length, validate=False)
            return ids.to_tensor(PAD), length, full > length

    def encode_tail(self, text, max_tokens):
        """As `encode_flat`, but keeps the last `max_tokens` (int32 []) ids of a row, whatever the settings say.

        It is not a `tf.function`, so that only graphs that call it hold its ops.
        """
        with tf.device("CPU:0"):
            ids, full = self._encode(text, self._tail_settings, max_tokens)
            return ids.flat_values, tf.cast(ids.row_lengths(), tf.int32), full

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="tokens"),
            tf.TensorSpec([None], tf.int32, name="length"),
        ]
    )
    def decode(self, tokens, length):
        """The first `length` int32 [B] of tokens int32 [B, T] → tf.string [B]; PAD, START and END are left out."""
        with tf.device("CPU:0"):
            ids = tf.RaggedTensor.from_tensor(tokens, lengths=length)
            ids = tf.ragged.boolean_mask(ids, (ids != PAD) & (ids != START) & (ids != END))
            return self._tokenizer.detokenize(ids, self._resources)
