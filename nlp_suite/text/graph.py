"""The text layer as a TensorFlow graph: normalise, tokenize, truncate, add special tokens; and back."""

import tensorflow as tf

from nlp_suite.config import TextSettings
from nlp_suite.text.html import entity_table
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
            self._entities = entity_table() if settings.strip_html is True else None
            self._resources = tokenizer.resources() if tokenizer.vocabulary_size else {}

    @property
    def tables(self):
        """What an exported module must hold that calls these functions; holding the graph itself, it is saved with all of them."""
        return {**self._resources, **({"entities": self._entities} if self._entities is not None else {})}

    def _normalise(self, text, settings):
        text, is_cut = normalise(text, settings, self._stop_words, self._entities)
        return self._tokenizer.prepare(text), is_cut

    def _encode(self, text, settings, max_length):
        """tf.string [B] → ids as RaggedTensor int32 [B, (T)], their number before truncation int32 [B].

        A text cut at `max_characters`, the rest of which is not tokenized, counts one more than there were without it.
        """
        text, is_cut = self._normalise(text, settings)
        ids = self._tokenizer.tokenize(text, self._resources)
        first, last = ids.row_starts() + 2, ids.row_limits() + 2  # [B], where the text's tokens lie in the table below
        full, added = last - first, int(settings.add_start) + int(settings.add_end)
        kept = tf.minimum(full, tf.cast(max_length, full.dtype) - added)  # [B], tokens that are not truncated
        # A row is pieces of the table: START, the first tokens of the text, the last ones, END.
        table = tf.concat([[START, END], ids.flat_values], 0)
        one = tf.ones_like(kept)
        pieces = _kept_pieces(first, last, kept, settings.truncation)
        if settings.add_start:
            pieces = [(0 * one, one), *pieces]
        if settings.add_end:
            pieces = [*pieces, (one, 2 * one)]
        elif not added:  # END in place of no token: no network and no mask then meets an empty row
            pieces = [*pieces, (one, one + tf.cast(tf.equal(kept, 0), one.dtype))]
        full = tf.cast(tf.maximum(full + added, 1), tf.int32) + tf.cast(is_cut, tf.int32)
        return _rows_of_pieces(table, pieces), full

    def encode_pairs(self, text, text_b):
        """Two tf.string [B] → ids of `[START] text END text_b [END]` as RaggedTensor int32 [B, (T)], and full lengths [B].

        START and the second END as with one text; the END between them parts the texts and is always there. What exceeds
        `max_length` is taken from the longer text, until both are equally long. Not a `tf.function`, so that only graphs
        that call it hold its ops.
        """
        settings = self._settings
        with tf.device("CPU:0"):
            sides, cut = [], 0
            for side in (text, text_b):
                normalised, is_cut = self._normalise(side, settings)
                sides.append(self._tokenizer.tokenize(normalised, self._resources))
                cut += tf.cast(is_cut, tf.int32)
            ids, ids_b = sides
            first, last = ids.row_starts() + 2, ids.row_limits() + 2  # [B], places in the table below
            offset = tf.size(ids.flat_values, out_type=first.dtype) + 2
            first_b, last_b = ids_b.row_starts() + offset, ids_b.row_limits() + offset
            full, full_b = last - first, last_b - first_b
            added = 1 + int(settings.add_start) + int(settings.add_end)
            room = tf.cast(max(2, settings.max_length - added), full.dtype)
            kept = tf.minimum(full, tf.maximum(room - full_b, room - room // 2))
            kept_b = tf.minimum(full_b, room - kept)
            one = tf.ones_like(kept)
            pieces = [(0 * one, one)] if settings.add_start else []
            pieces += [*_kept_pieces(first, last, kept, settings.truncation), (one, 2 * one)]
            pieces += _kept_pieces(first_b, last_b, kept_b, settings.truncation)
            pieces += [(one, 2 * one)] if settings.add_end else []
            table = tf.concat([[START, END], ids.flat_values, ids_b.flat_values], 0)
            return _rows_of_pieces(table, pieces), tf.cast(full + full_b + added, tf.int32) + cut

    def encode_pairs_flagged(self, text, text_b):
        """As `encode_flagged`, of pairs."""
        with tf.device("CPU:0"):
            ids, full = self.encode_pairs(text, text_b)
            length = tf.cast(ids.row_lengths(), tf.int32)
            return ids.to_tensor(PAD), length, full > length

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def normalise(self, text):
        """tf.string [B] → normalised tf.string [B]."""
        with tf.device("CPU:0"):
            return self._normalise(text, self._settings)[0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def encode(self, text):
        """tf.string [B] → tokens int32 [B, T], right-padded with PAD to the longest of the batch; length int32 [B]."""
        return self.encode_flagged(text)[:2]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
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
        ],
        autograph=False,
    )
    def decode(self, tokens, length):
        """The first `length` int32 [B] of tokens int32 [B, T] → tf.string [B]; PAD, START and END are left out."""
        with tf.device("CPU:0"):
            ids = tf.RaggedTensor.from_tensor(tokens, lengths=length)
            ids = tf.ragged.boolean_mask(ids, (ids != PAD) & (ids != START) & (ids != END))
            return self._tokenizer.detokenize(ids, self._resources)


def _kept_pieces(first, last, kept, truncation):
    """Where the `kept` tokens lie of those from `first` to before `last`: a list of pairs of int64 [B]."""
    head = kept - kept // 2
    return {
        "head": [(first, first + kept)],
        "tail": [(last - kept, last)],
        "head_tail": [(first, first + head), (last - kept + head, last)],
    }[truncation]


def _rows_of_pieces(table, pieces):
    """Rows that are pieces of the table, one after the other: RaggedTensor int32 [B, (T)]."""
    start, limit = (tf.reshape(tf.stack(ends, 1), [-1]) for ends in zip(*pieces, strict=True))  # [B · pieces]
    index = tf.ragged.range(start, limit)
    values, splits = tf.gather(table, index.flat_values), index.row_splits[:: len(pieces)]  # [total], [B + 1]
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)
